// How many tokens to draft.
//
// A round with g drafts in a row, each right with probability a, gives (1 − aᵍ⁺¹) / (1 − a) tokens
// and takes c·g + T(g + 1): c to draft a token, T(n) for a pass over n rows (Leviathan, Kalman,
// Matias, arXiv 2211.17192). Whether drafting could run beside the pass instead (Mirror-SD, arXiv
// 2510.13161; FlexDraft, arXiv 2605.20022) is no question on one machine, where both want the same
// memory bandwidth: drafting comes first, and what is left to decide is the length.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// The length from 0 to `most` that gives the most tokens a second; of equals, the shortest.
/// `pass(n)`: seconds of a pass over n rows, the root among them. O(most).
template <std::invocable<std::size_t> Pass>
std::size_t best_draft_length(double acceptance, double seconds_per_draft, Pass&& pass,
                              std::size_t most) {
  std::size_t best = 0;
  double tokens = 1, chance = 1, best_speed = 1 / static_cast<double>(pass(1));
  for (std::size_t g = 1; g <= most; ++g) {
    chance *= acceptance;
    tokens += chance;
    const double speed =
        tokens / (seconds_per_draft * static_cast<double>(g) + static_cast<double>(pass(g + 1)));
    if (speed > best_speed) best = g, best_speed = speed;
  }
  return best;
}

/// Of drafts in a row, each with how sure the drafter is of it: how many to keep, so that all of
/// them are right with probability `least` at least. O(drafts).
inline std::size_t confident_prefix(std::span<const float> confidence, double least) {
  std::size_t n = 0;
  for (double product = 1; n < confidence.size(); ++n) {
    product *= static_cast<double>(confidence[n]);
    if (product < least) break;
  }
  return n;
}

}  // namespace weir::inline WEIR_TARGET
