// Adaptive head budgets: a layer's entries go to the heads that have most to choose from.
// Ada-KV, arXiv 2407.11550.
//
// The largest scores of all heads together win; a head's share is its winners, mixed with an equal
// share so that no head starves. Works around any scoring policy, `pyramid` and `variance_budgets`
// among them: what is shared is what the layer has.
//
// Deviations. The authors' code rounds every head's share by itself and may lose entries; here
// shares are allocated by largest remainder, so that the sum is exact. No head gets more than it
// has to choose from, as long as some head has. Equal scores at the edge win in order of the heads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>

#include <weir/cache/eviction/allocate.hpp>
#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/winning_scores.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

template <scoring_policy Base>
struct adaptive_heads : Base {
  float alpha = 0.2f;  ///< of every head's share that is equal

  adaptive_heads() = default;
  explicit adaptive_heads(Base base, float a = 0.2f) : Base(std::move(base)), alpha(a) {}

  void validate(const kv_shape& shape) const {
    validate_policy(static_cast<const Base&>(*this), shape);
    error::require<error::bad_config>(alpha >= 0 && alpha <= 1, "adaptive_heads.alpha: ", alpha,
                                      " (expected 0 to 1)");
  }
  void allocate(const head_scores& scores, std::span<std::size_t> budgets) const {
    const std::size_t heads = scores.heads();
    const std::size_t total = std::accumulate(budgets.begin(), budgets.end(), std::size_t{0});
    const double mean = static_cast<double>(total) / static_cast<double>(heads);
    const winning_scores wins(scores, 0, heads, total);
    // Counted once for as many heads as models have, and as often as it takes beyond.
    std::array<tally, 64> counted;
    for (std::size_t h = 0; h < std::min(heads, counted.size()); ++h)
      counted[h] = count(scores, wins, h);
    const auto of = [&](std::size_t h) {
      return h < counted.size() ? counted[h] : count(scores, wins, h);
    };
    std::size_t candidates = 0;
    for (std::size_t h = 0; h < heads; ++h) candidates += of(h).candidates;
    const auto mixed = [&](std::size_t h) {
      return (1 - double{alpha}) * static_cast<double>(of(h).winners) + double{alpha} * mean;
    };
    const auto has = [&](std::size_t h) { return of(h).candidates; };
    if (candidates <= total)
      weir::allocate(
          total, mixed, has, [=](std::size_t) { return total; }, budgets);
    else
      weir::allocate(
          total, mixed, [](std::size_t) { return std::size_t{0}; }, has, budgets);
  }

 private:
  struct tally {
    std::size_t candidates = 0, winners = 0;
  };
  static tally count(const head_scores& scores, winning_scores wins, std::size_t head) {
    tally t;
    for (std::size_t h = 0; h < head && wins.ties > 0; ++h)
      for_each_candidate(scores, h, [&](std::size_t, std::uint32_t r) { wins.admit(r); });
    for_each_candidate(scores, head, [&](std::size_t, std::uint32_t r) {
      ++t.candidates;
      t.winners += wins.admit(r);
    });
    return t;
  }
};

}  // namespace weir::inline WEIR_TARGET
