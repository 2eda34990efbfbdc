// Key tokens: the entries that attention favours, had some been dropped already. Keyformer,
// arXiv 2403.09054, section 3.
//
// Every row adds to its entries a softmax of its logits with Gumbel noise on them, at a temperature
// that rises while tokens are dropped; the largest sums stay. The noise serves the scores only,
// never attention. A `window` ahead of this policy in the list selects the recent tokens, 20 to 30
// % of the budget in the paper.
//
// With g noise of its own for each row, query head and entry, a row adds, mean over a KV head's
// query heads (the paper's models have as many of both),
//
//   softmax((logit + g) / τ),    τ = τ_init + (τ_end − τ_init) · t / planned,
//
// t = 0 for the first `prompt` tokens of the stream, and 1 for the one behind them.
//
// Deviations. The paper drops one token a row once the prompt is over, when it also sets the
// budget; here the budget is given, and the list decides at boundaries from the start of the
// stream. A stream may go on behind `planned` tokens; τ stays at τ_end then. The authors' code
// differs from their paper: a token that leaves the recent window is dropped whatever its score,
// for it was not among those ranked, so that the key tokens are those of the prompt for good.
// `frozen_after_prompt` is that rule; a list with it and a window one entry shorter than the
// authors' keeps what their code keeps.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/error.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/observation_kernels.hpp>

namespace weir::inline WEIR_TARGET {

struct key_tokens {
  std::size_t budget = 0;
  std::size_t prompt = 0;   ///< tokens of the prompt
  std::size_t planned = 1;  ///< tokens behind it
  float tau_init = 1, tau_end = 2;
  std::uint64_t seed = 0;
  bool frozen_after_prompt = false;
  std::size_t recent = 0;  ///< tokens of the prompt that may not be key tokens if that is so
  static constexpr signals needs = signals::attention_logits;

  void validate(const kv_shape&) const {
    for (const float tau : {tau_init, tau_end})
      error::require<error::bad_config>(tau > 0 && std::isfinite(tau),
                                        "key_tokens: a temperature of ", tau,
                                        " (expected finite and positive)");
  }
  std::size_t notes(const kv_shape&) const { return 1; }
  std::size_t scratch(const kv_shape& shape) const {
    return std::min<std::size_t>(shape.group(), 4);
  }

  void observe(const observed_row& row) const {
    constexpr std::size_t most = noisy_softmax::max_heads;
    const std::size_t group = row.shape().group();
    for (std::size_t head = 0; head < group;) {
      const std::size_t some = std::bit_floor(std::min(group - head, most));
      add_heads(row, head, some);
      head += some;
    }
  }

  float score(const slots_view& view, slot s) const {
    if (frozen_after_prompt && view.index(s).value - view.first_index().value + recent >= prompt)
      return -std::numeric_limits<float>::infinity();
    return view.note(s);
  }

  float temperature(std::uint64_t tokens_before) const {
    const std::uint64_t t = tokens_before < prompt ? 0 : tokens_before - prompt + 1;
    const float part = static_cast<float>(std::min<std::uint64_t>(t, planned)) /
                       static_cast<float>(std::max<std::size_t>(planned, 1));
    return tau_init + (tau_end - tau_init) * part;
  }

  /// Adds what query heads `first` … first + heads − 1 of the group add to the notes of all slots.
  /// One Philox block is the noise of an entry in all of them.
  template <class A = simd::preferred>
  void add_heads(const observed_row& row, std::size_t first, std::size_t heads) const {
    const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    const auto own = philox({low(row.index().value), low(row.index().value >> 32),
                             low(row.layer() * row.shape().kv_heads + row.kv_head()),
                             static_cast<std::uint32_t>(purpose::scoring) << 24 | low(first)},
                            {low(seed), low(seed >> 32)});
    noisy_softmax job{.heads = heads,
                      .slots = row.slots(),
                      .group = row.shape().group(),
                      .temperature = temperature(row.index().value - row.first_index().value),
                      .index = row.indices().data(),
                      .key = {own[0], own[1]},
                      .counter = {own[2], own[3]},
                      .scratch = row.scratch().data(),
                      .notes = row.notes().data()};
    for (std::size_t h = 0; h < heads; ++h) job.logits[h] = row.logits(first + h).data();
    kernels<observation_kernels, A>().add_noisy_softmax(job);
  }
};

static_assert(eviction_policy<key_tokens> && observing<key_tokens>);

}  // namespace weir::inline WEIR_TARGET
