// One row of activations against packed weights, eight blocks at a time: memory is the limit, and
// behind it unpacking.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/cpu/packed_sums.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

/// Weight rows that one row of activations passes at once: streams from memory. Few and long ones
/// keep it busiest: where unpacking leaves time, four, each of which gives two blocks.
template <class Block>
inline constexpr std::size_t row_streams = Block::bias == 128 ? 4 : 8;

/// How far ahead in its stream a row asks for weights, in bytes: into the second cache all of them
/// together as much as half the first one holds, and half as far ahead into that. Units that wait
/// for a handful of lines of each stream would find them too far away in the second.
template <class Block>
inline constexpr std::size_t row_ahead = 16384 / row_streams<Block>;

/// y[0], y[spread] … (+)= for one row of activations; rows of weights lie `spread` rows apart.
template <class A, class Block>
void packed_row(const Block* w, std::size_t blocks, std::size_t spread, const quantized_rows& x,
                float* y, bool add) {
  using eight = xsimd::avx2;
  using four = xsimd::sse2;
  constexpr std::size_t width = quantized_rows::block, parts = Block::size / width;
  constexpr std::size_t together = std::min<std::size_t>(parts, 4);  // more is slow to compile
  constexpr std::size_t streams = row_streams<Block>, along = 8 / streams;
  using chain = std::conditional_t<along == 1, eight, four>;
  simd::floats<chain> sum = simd::broadcast<chain>(0.0f);
  for (std::size_t b = 0; b < blocks; b += along) {
    const std::size_t last = along == 1 ? b : std::min(b + along, blocks) - 1;
    const auto block = [&](std::size_t i) -> const Block& {
      return w[i % streams * spread * blocks + (i < streams ? b : last)];
    };
    const eight_scales_of<Block> scales{blocks_apart(block)};
#pragma GCC unroll 1
    for (std::size_t first = 0; first < parts; first += together) {
#pragma GCC unroll 2
      for (std::size_t part = first; part < first + together; part += 2)
        if (part / 2 * cache_line < sizeof(Block))
#pragma GCC unroll 8
          for (std::size_t i = 0; i < streams; ++i) {
            simd::prefetch_lines<cache_line>(&block(i),
                                             row_ahead<Block> / 2 + part / 2 * cache_line);
            simd::prefetch(&block(i), row_ahead<Block> + part / 2 * cache_line);
          }
      const std::size_t at[2] = {b * parts + first, last * parts + first};
      const std::int8_t* const in[2] = {&x.quants[at[0] * width], &x.quants[at[1] * width]};
      __m256i exact[together];
      row_exact<A>(block, scales, first, in, exact);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < together; ++i) {
        const __m256 products = _mm256_cvtepi32_ps(exact[i]);
        const __m256 scale = scales.scale(first + i), offset = scales.offset(first + i);
        const auto go_on = [&](auto p, auto s, auto o, std::size_t part) {
          const simd::floats<chain> unit = simd::broadcast<chain>(x.scales[part]);
          sum = simd::fma<chain>(simd::floats<chain>(p), simd::floats<chain>(s) * unit, sum);
          if constexpr (Block::has_offset)
            sum = simd::fma<chain>(simd::floats<chain>(o), simd::broadcast<chain>(x.totals[part]),
                                   sum);
        };
        if constexpr (along == 1) {
          go_on(products, scale, offset, at[0] + i);
        } else {
          const auto low = [](__m256 v) { return _mm256_castps256_ps128(v); };
          const auto high = [](__m256 v) { return _mm256_extractf128_ps(v, 1); };
          go_on(low(products), low(scale), low(offset), at[0] + i);
          if (last != b) go_on(high(products), high(scale), high(offset), at[1] + i);
        }
      }
    }
  }
  float out[streams];
  simd::store<chain>(out, sum);
  for (std::size_t i = 0; i < streams; ++i) {
    float& to = y[i * spread];
    to = add ? to + out[i] : out[i];
  }
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
