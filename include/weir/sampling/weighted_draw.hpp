// A draw from weights in f64.
#pragma once

#include <cstddef>
#include <span>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// The token at which the running sum of `weights` `[vocabulary]` passes `u` in [0, 1) of their
/// sum, which is above 0. Never one of weight 0. O(vocabulary).
inline token_id draw_weighted(std::span<const double> weights, double u) {
  double sum = 0;
  for (const double w : weights) sum += w;
  const double target = u * sum;
  double passed = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    passed += weights[i];
    last = i;
    if (passed > target) break;
  }
  return static_cast<token_id>(last);
}

}  // namespace weir::inline WEIR_TARGET
