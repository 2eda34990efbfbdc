// Token surprisal: the tokens that the model expected least. SirLLM, arXiv 2405.12528,
// where −log p of the token that came goes by the name of token entropy.
//
// Surprisal fades by `decay` at every boundary; a boundary stands for the paper's turn. The paper
// fills what its memory leaves with recent tokens: a `window` behind this policy in the list does
// that, and one ahead of it reserves recent tokens whatever their surprisal.
//
// Deviations. The authors' code reads each token's probability from the logits behind it, not from
// those before it; this is the formula. In a stream only the first token has no prediction; it gets
// the largest surprisal of the tokens up to the first boundary, as the first of a chunk does there.
// Sinks do not count among the surprising tokens here.
#pragma once

#include <algorithm>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct token_surprisal {
  std::size_t budget = 0;
  float decay = 1;  ///< per boundary; the paper's 0.7 to 1 go by the task
  static constexpr signals needs = signals::log_probability;
  static constexpr decision_scope scope = decision_scope::one_for_all;

  void validate(const kv_shape&) const {
    error::require<error::bad_config>(decay > 0 && decay <= 1, "token_surprisal.decay: ", decay,
                                      " (expected above 0, at most 1)");
  }
  std::size_t notes(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info& came) const {
    const std::uint64_t rank = view.index(s).value - view.first_index().value;
    if (rank == 0) return;
    view.note(s) = -came.log_probability;
    if (rank >= view.cadence()) return;
    float& first = view.note(view.at(0));  // nothing has been dropped yet
    first = std::max(first, view.note(s));
  }

  /// The surprisal, or where it fades the logarithm of what is left of it: that ranks alike, and
  /// does not run out of exponents.
  float score(const slots_view& view, slot s) const {
    if (decay == 1) return view.note(s);
    const auto interval = [&](std::uint64_t index) {
      return (index - view.first_index().value) / view.cadence();
    };
    const auto turns =
        static_cast<float>(interval(view.boundary().value - 1) - interval(view.index(s).value));
    const auto log = [](float x) { return static_cast<float>(elementary::log(double{x})); };
    return log(view.note(s)) + (turns > 0 ? turns * log(decay) : 0);
  }
};

static_assert(eviction_policy<token_surprisal> && has_on_append<token_surprisal>);

}  // namespace weir::inline WEIR_TARGET
