// Tiles of a matrix product with packed weights of 4 to 6 bits, one template for all of them:
// eight outputs side by side in one register.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/arena.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/cpu/packed_row.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::detail {

/// One output of all rows, for the outputs that are left over.
template <class Block>
void packed_output(const Block* w, std::size_t cols, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t stride, bool add) {
  constexpr std::size_t width = quantized_rows::block, parts = Block::size / width;
  constexpr std::size_t most = 8;
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t count = std::min(most, rows - first);
    float sum[most] = {};
    for (std::size_t p = 0; p < cols / width; ++p) {
      const Block& block = w[p / parts];
      std::int8_t codes[width];
      unpack(block, p % parts, codes);
      const float scale = scale_of(block, p % parts);
      for (std::size_t row = 0; row < count; ++row) {
        const std::size_t at = (first + row) * (cols / width) + p;
        const std::int32_t exact = dot_part(block, p % parts, codes, &x.quants[at * width]);
        sum[row] = std::fma(static_cast<float>(exact), scale * x.scales[at], sum[row]);
        if constexpr (Block::has_offset)
          sum[row] = std::fma(offset_of(block, p % parts), x.totals[at], sum[row]);
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      float& out = y[(first + row) * stride];
      out = add ? out + sum[row] : sum[row];
    }
  }
}

#if defined(__AVX2__) && defined(__F16C__)

/// Whether one row of activations goes through kernels/cpu/packed_row.hpp.
template <class A>
inline constexpr bool has_packed_row =
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)
    simd::lanes<A> == 16;
#else
    false;
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)

/// Σ step · (code − bias) · x of part `part` in eight weight rows.
template <class Block>
[[gnu::always_inline]] inline __m256i row_exact(const Block* w, std::size_t stride,
                                                const eight_scales_of<Block>& scales,
                                                std::size_t part, const std::int8_t* x) {
  const auto sums = row_sums(w, stride, part, x);
  if constexpr (Block::size == 32) {
    return sums;
  } else {
    __m256i first = _mm512_castsi512_si256(sums), second = _mm512_extracti64x4_epi64(sums, 1);
    if constexpr (Block::steps == 2) {
      first = _mm256_mullo_epi32(first, scales.step(2 * part));
      second = _mm256_mullo_epi32(second, scales.step(2 * part + 1));
    }
    return _mm256_add_epi32(first, second);
  }
}

#endif

/// Σ step · (code − bias) · x of part `part` in eight weight rows. Where Rows > 1, codes are
/// transposed.
template <class A, std::size_t Rows, class Block>
__m256i eight_exact(const __m256i (&codes)[8], const eight_scales_of<Block>& scales,
                    std::size_t part, const std::int8_t* x, std::int32_t sum) {
  using dots = simd::eight_dots<A>;
  const __m256i all = load_256(x), zero = _mm256_setzero_si256();
  __m256i first, second;
  if constexpr (Rows > 1) {
    if constexpr (Block::steps == 2) {
      const __m256i pairs = dots::dot_4_codes(zero, _mm256_set1_epi8(1), all);
      std::int32_t four[8], leading = 0;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(four), pairs);
      for (std::size_t i = 0; i < 4; ++i) leading += four[i];
      first = _mm256_set1_epi32(-Block::bias * leading);
      second = _mm256_set1_epi32(-Block::bias * (sum - leading));
    } else {
      first = _mm256_set1_epi32(-Block::bias * sum);
      second = zero;
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      std::int32_t four[2];
      std::memcpy(&four[0], x + 4 * i, sizeof four[0]);
      std::memcpy(&four[1], x + 4 * i + 16, sizeof four[1]);
      first = dots::dot_4_codes(first, codes[i], _mm256_set1_epi32(four[0]));
      second = dots::dot_4_codes(second, codes[i + 4], _mm256_set1_epi32(four[1]));
    }
  } else {
    __m256i start = zero;  // −bias · x, added up as the products are
    if constexpr (Block::bias != 0)
      start = _mm256_sub_epi32(zero, dots::dot_4_codes(zero, _mm256_set1_epi8(Block::bias), all));
    __m256i each[8];
#pragma GCC unroll 8
    for (std::size_t o = 0; o < 8; ++o) each[o] = dots::dot_4_codes(start, codes[o], all);
    dots::sum_small_halves(each, first, second);
  }
  if constexpr (Block::steps == 2) {
    first = _mm256_mullo_epi32(first, scales.step(2 * part));
    second = _mm256_mullo_epi32(second, scales.step(2 * part + 1));
  }
  return _mm256_add_epi32(first, second);
}

/// y[row, 0 … 7] (+)= for Rows rows from `from` on.
template <class A, std::size_t Rows, class Block>
void packed_tile(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t from,
                 float* y, std::size_t stride, bool add) {
  using eight = xsimd::avx2;
  constexpr std::size_t width = quantized_rows::block, parts = Block::size / width;
  constexpr bool row_only = Rows == 1 && has_packed_row<A>;
  simd::floats<eight> sum[Rows];
  for (std::size_t row = 0; row < Rows; ++row) sum[row] = simd::broadcast<eight>(0.0f);

  for (std::size_t b = 0; b < blocks; ++b) {
    const eight_scales_of<Block> scales(w + b, blocks);
#pragma GCC unroll 8
    for (std::size_t part = 0; part < parts; ++part) {
      __m256i codes[8];
#pragma GCC unroll 8
      for (std::size_t o = 0; o < 8; ++o) {
        const Block& block = w[o * blocks + b];
        if constexpr (!row_only) codes[o] = load_codes(block, part);
        // Eight short streams defeat the processor's own prefetching: name the next tile's lines,
        // a large block's one by one.
        if (from == 0 && part % 2 == 0 && part / 2 * cache_line < sizeof block)
          simd::prefetch(&block, 8 * blocks * sizeof block + part / 2 * cache_line);
      }
      if constexpr (Rows > 1) simd::eight_dots<A>::transpose(codes);
      const simd::floats<eight> scale(scales.scale(part));
#pragma GCC unroll 8
      for (std::size_t row = 0; row < Rows; ++row) {
        const std::size_t at = ((from + row) * blocks + b) * parts + part;
        const simd::floats<eight> unit = simd::broadcast<eight>(x.scales[at]);
        __m256i exact;
        if constexpr (row_only)
          exact = row_exact(w + b, blocks, scales, part, &x.quants[at * width]);
        else
          exact = eight_exact<A, Rows>(codes, scales, part, &x.quants[at * width], x.sums[at]);
        sum[row] = simd::fma<eight>(simd::floats<eight>(_mm256_cvtepi32_ps(exact)), scale * unit,
                                    sum[row]);
        if constexpr (Block::has_offset)
          sum[row] = simd::fma<eight>(simd::floats<eight>(scales.offset(part)),
                                      simd::broadcast<eight>(x.totals[at]), sum[row]);
      }
    }
  }
  for (std::size_t row = 0; row < Rows; ++row) {
    float* const out = y + row * stride;
    simd::store<eight>(out, add ? simd::load<eight>(out) + sum[row] : sum[row]);
  }
}

#endif

/// All outputs of all rows. Eight weight rows stay in cache while every row passes over them.
template <class A, class Block>
void packed_product(const Block* w, std::size_t cols, const quantized_rows& x, std::size_t rows,
                    float* y, std::size_t outputs, std::size_t stride, bool add) {
  const std::size_t blocks = cols / Block::size;
  std::size_t o = 0;
#if defined(__AVX2__) && defined(__F16C__)
  if constexpr (simd::has_eight_dots<A>)
    for (; o + 8 <= outputs; o += 8) {
      std::size_t row = 0;
      const auto take = [&]<std::size_t Rows>() {
        for (; row + Rows <= rows; row += Rows)
          packed_tile<A, Rows>(w + o * blocks, blocks, x, row, y + row * stride + o, stride, add);
      };
      if constexpr (simd::lanes<A> == 16) take.template operator()<8>();
      take.template operator()<4>();
      take.template operator()<2>();
      take.template operator()<1>();
    }
#endif
  for (; o < outputs; ++o) packed_output(w + o * blocks, cols, x, rows, y + o, stride, add);
}

}  // namespace weir::detail
