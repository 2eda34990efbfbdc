// Weighted sums of the lengths of RoPE pairs, for policies that score by them.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

/// out[row] = Σ_i weights[row, i] · √squares[i], over 16 virtual lanes; n is a multiple of 16.
/// O(rows · n).
template <class A = simd::native>
void length_dots(const float* squares, const float* weights, std::size_t rows, std::size_t n,
                 float* out) {
  constexpr std::size_t together = 16, lanes = simd::lanes<A>, registers = together / lanes;
  for (std::size_t row = 0; row < rows; ++row, weights += n) {
    simd::floats<A> sum[registers];
    for (auto& part : sum) part = simd::broadcast<A>(0.0f);
    for (std::size_t i = 0; i < n; i += together)
      for (std::size_t r = 0; r < registers; ++r)
        sum[r] = simd::fma<A>(simd::load<A>(weights + i + r * lanes),
                              simd::sqrt<A>(simd::load<A>(squares + i + r * lanes)), sum[r]);
    out[row] = simd::sum_halving<A>(sum);
  }
}

}  // namespace weir::inline WEIR_TARGET::cpu
