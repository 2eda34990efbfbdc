// Root-mean-square norm of rows. Defined bit by bit by kernels/reference/norm.hpp.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

/// Σ x², over 16 virtual lanes.
template <class A>
float sum_of_squares(const float* x, std::size_t n) {
  constexpr std::size_t step = 16, lanes = simd::lanes<A>, registers = step / lanes;
  simd::floats<A> sum[registers];
  for (std::size_t r = 0; r < registers; ++r) sum[r] = simd::broadcast<A>(0.0f);
  std::size_t i = 0;
  for (; i + step <= n; i += step)
    for (std::size_t r = 0; r < registers; ++r) {
      const simd::floats<A> in = simd::load<A>(x + i + r * lanes);
      sum[r] = simd::fma<A>(in, in, sum[r]);
    }
  if (i == n) return simd::sum_halving<A, registers>(sum);
  alignas(64) float lane[step];
  for (std::size_t r = 0; r < registers; ++r) simd::store<A>(lane + r * lanes, sum[r]);
  for (std::size_t rest = i; rest < n; ++rest)
    lane[rest - i] = std::fma(x[rest], x[rest], lane[rest - i]);
  return simd::sum_halving(lane, step);
}

}  // namespace detail

/// out[row, i] = x[row, i] / sqrt(mean over the row of x² + epsilon) · weight[i]; x and out are
/// [rows, n], n > 0, and may be the same. O(rows · n).
template <class Arch = simd::native>
void rms_norm(const float* x, const float* weight, std::size_t rows, std::size_t n, float epsilon,
              float* out, executor& threads) {
  threads.for_range(rows, rows * n, [&](std::size_t first, std::size_t last) {
    for (std::size_t row = first; row < last; ++row) {
      const float* const in = x + row * n;
      float* const to = out + row * n;
      const float mean = detail::sum_of_squares<Arch>(in, n) / static_cast<float>(n);
      const float scale = 1.0f / std::sqrt(mean + epsilon);
      const std::size_t whole = n / simd::lanes<Arch> * simd::lanes<Arch>;
      for (std::size_t i = 0; i < whole; i += simd::lanes<Arch>)
        simd::store<Arch>(to + i, simd::load<Arch>(in + i) * simd::broadcast<Arch>(scale) *
                                      simd::load<Arch>(weight + i));
      for (std::size_t i = whole; i < n; ++i) to[i] = in[i] * scale * weight[i];
    }
  });
}

}  // namespace weir::inline WEIR_TARGET
