// Whole shares of a total, in proportion to weights, that add up to it exactly.
//
// The largest-remainder method: everybody gets the whole part of the exact share, and what is left
// goes, one each, to the largest remainders. Published methods round or truncate shares one by one
// and lose or gain entries on the way.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Writes to `share` `[n]` numbers that sum to `total`: in proportion to `weight(i)`, a double, of
/// which those that are not finite and positive count as 0; but at least `least(i)` and at most
/// `most(i)`, for which Σ least ≤ total ≤ Σ most has to hold. Where these bind, the others share
/// what is left in proportion. Ties: the lower number. If no weight is positive, all count alike.
/// O(n²) at worst, without allocation.
template <class Weight, class Least, class Most>
void allocate(std::size_t total, Weight weight_of, Least least, Most most,
              std::span<std::size_t> share) {
  const auto weight = [&](std::size_t i) -> double {
    const double w = weight_of(i);
    return std::isfinite(w) && w > 0 ? w : 0;
  };
  constexpr std::size_t open = std::numeric_limits<std::size_t>::max();
  const std::size_t n = share.size();
  std::fill(share.begin(), share.end(), open);
  double rate = 0;   // of what is left, per weight
  double equal = 0;  // added to all weights
  const auto exact = [&](std::size_t i) { return rate * (weight(i) + equal); };
  // Bounds bind one after the other: each settles a share, and changes what is left for the rest.
  for (bool settled = true; settled;) {
    settled = false;
    double weights = 0, moved = 0;
    std::size_t left = total, openings = 0;
    for (std::size_t i = 0; i < n; ++i)
      share[i] == open ? weights += weight(i), ++openings : left -= share[i];
    equal = weights > 0 ? 0 : 1;
    rate = static_cast<double>(left) / (weights > 0 ? weights : static_cast<double>(openings));
    const auto bounded = [&](std::size_t i) {
      return std::min(std::max(exact(i), static_cast<double>(least(i))),
                      static_cast<double>(most(i)));
    };
    for (std::size_t i = 0; i < n; ++i)
      if (share[i] == open) moved += bounded(i) - exact(i);
    for (std::size_t i = 0; i < n; ++i) {
      if (share[i] != open) continue;
      const bool low = moved >= 0 && bounded(i) > exact(i);
      const bool high = moved <= 0 && bounded(i) < exact(i);
      if (!low && !high) continue;
      share[i] = low ? least(i) : most(i);
      settled = true;
    }
  }
  std::size_t left = total;
  for (std::size_t i = 0; i < n; ++i) {
    if (share[i] == open) share[i] = static_cast<std::size_t>(exact(i));
    left -= share[i];
  }
  for (; left > 0 && left <= n; --left) {
    std::size_t best = n;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < n; ++i) {
      const double remainder = exact(i) - static_cast<double>(share[i]);
      if (share[i] < most(i) && remainder > largest) best = i, largest = remainder;
    }
    if (best == n) return;
    ++share[best];
  }
}

/// None of `n` shares is larger where no weight is more than `ratio` times another; `mean`: theirs.
inline std::size_t max_share(double ratio, std::size_t mean, std::size_t n) {
  const auto total = static_cast<double>(n * mean);
  return static_cast<std::size_t>(std::min(ratio * static_cast<double>(mean) + 1, total));
}

}  // namespace weir::inline WEIR_TARGET
