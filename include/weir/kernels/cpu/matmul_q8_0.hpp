// Tiles of a matrix product with Q8_0 weights: eight outputs side by side in one register, so that
// their chains of fused multiply-adds run at once.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/half.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::detail {

/// One output of one row, for the outputs that are left over.
inline float q8_0_dot(const q8_0_block* w, const std::int8_t* quants, const float* scales,
                      std::size_t blocks) {
  float sum = 0;
  for (std::size_t b = 0; b < blocks; ++b)
    sum = std::fma(static_cast<float>(simd::dot_32(w[b].quants, quants + b * q8_0_block::size)),
                   to_float(w[b].scale) * scales[b], sum);
  return sum;
}

#if defined(__AVX2__) && defined(__F16C__)

/// Block `b` of eight weight rows: their scales as f32.
inline simd::floats<xsimd::avx2> eight_scales(const q8_0_block* w, std::size_t blocks) {
  const auto bits = [&](std::size_t o) { return static_cast<short>(w[o * blocks].scale.bits); };
  return simd::floats<xsimd::avx2>(_mm256_cvtph_ps(
      _mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), bits(4), bits(5), bits(6), bits(7))));
}

/// y[row, 0 … 7] (+)= for Rows rows from `first` on.
template <class A, std::size_t Rows>
void q8_0_tile(const q8_0_block* w, std::size_t blocks, const quantized_rows& x, std::size_t first,
               float* y, std::size_t stride, bool add) {
  using dots = simd::eight_dots<A>;
  using eight = xsimd::avx2;
  simd::floats<eight> sum[Rows];
  for (std::size_t row = 0; row < Rows; ++row) sum[row] = simd::broadcast<eight>(0.0f);
  const std::int8_t* const quants = x.quants.data() + first * blocks * q8_0_block::size;
  const float* const scales = x.scales.data() + first * blocks;
  const std::int32_t* const sums = x.sums.data() + first * blocks;

  for (std::size_t b = 0; b < blocks; ++b) {
    const simd::floats<eight> scale = eight_scales(w + b, blocks);
    __m256i weight[8];
#pragma GCC unroll 8
    for (std::size_t o = 0; o < 8; ++o) {
      const q8_0_block& block = w[o * blocks + b];
      weight[o] = dots::load_weights(block.quants);
      // Eight short streams defeat the processor's own prefetching: name the next tile's block.
      if (first == 0) simd::prefetch(&block, 8 * blocks * sizeof block);
    }
    // Several rows share the cost of laying the weights out by column; one row adds across.
    if constexpr (Rows > 1) dots::transpose(weight);
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row) {
      const std::size_t at = row * blocks + b;
      const std::int8_t* const in = quants + at * q8_0_block::size;
      const __m256i bias = _mm256_set1_epi32(-dots::bias * sums[at]);
      __m256i exact;
      if constexpr (Rows > 1) {
        exact = bias;
#pragma GCC unroll 8
        for (std::size_t o = 0; o < 8; ++o) {
          std::int32_t four;
          std::memcpy(&four, in + 4 * o, sizeof four);
          exact = dots::dot_4(exact, weight[o], _mm256_set1_epi32(four));
        }
      } else {
        const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
        __m256i part[8];
#pragma GCC unroll 8
        for (std::size_t o = 0; o < 8; ++o)
          part[o] = dots::dot_4(_mm256_setzero_si256(), weight[o], all);
        exact = _mm256_add_epi32(dots::sum_each(part), bias);
      }
      sum[row] = simd::fma<eight>(simd::floats<eight>(_mm256_cvtepi32_ps(exact)),
                                  scale * simd::broadcast<eight>(scales[at]), sum[row]);
    }
  }
  for (std::size_t row = 0; row < Rows; ++row) {
    float* const out = y + row * stride;
    simd::store<eight>(out, add ? simd::load<eight>(out) + sum[row] : sum[row]);
  }
}

#endif

/// All outputs of all rows. Eight weight rows stay in cache while every row passes over them.
template <class A>
void q8_0_product(const q8_0_block* w, std::size_t cols, const quantized_rows& x, std::size_t rows,
                  float* y, std::size_t outputs, std::size_t stride, bool add) {
  const std::size_t blocks = cols / q8_0_block::size;
  std::size_t o = 0;
#if defined(__AVX2__) && defined(__F16C__)
  if constexpr (simd::has_eight_dots<A>)
    for (; o + 8 <= outputs; o += 8) {
      std::size_t row = 0;
      const auto take = [&]<std::size_t Rows>() {
        for (; row + Rows <= rows; row += Rows)
          q8_0_tile<A, Rows>(w + o * blocks, blocks, x, row, y + row * stride + o, stride, add);
      };
      if constexpr (simd::lanes<A> == 16) take.template operator()<8>();
      take.template operator()<4>();
      take.template operator()<2>();
      take.template operator()<1>();
    }
#endif
  for (; o < outputs; ++o)
    for (std::size_t row = 0; row < rows; ++row) {
      const float value = q8_0_dot(w + o * blocks, x.quants.data() + row * cols,
                                   x.scales.data() + row * blocks, blocks);
      float& out = y[row * stride + o];
      out = add ? out + value : value;
    }
}

}  // namespace weir::detail
