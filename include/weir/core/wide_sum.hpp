// Sums that a processor adds up several at a time.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Σ f(i) over i < n in f64: eight sums side by side, which are then halved. `f` should hold what
/// it reads by value, or compilers look it up each time. O(n).
template <class F>
double wide_sum(std::size_t n, F f) {
  double sum[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t j = 0; j < 8; ++j) sum[j] += f(i + j);
  for (; i < n; ++i) sum[0] += f(i);
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

}  // namespace weir::inline WEIR_TARGET
