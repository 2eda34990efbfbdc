// One row of activations against eight rows of packed weights at a time: where a single row
// decodes, unpacking is the work.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/arena.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::detail {

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)

/// Sums of neighbouring lanes: two of a, two of b in each 128 bits. Lanes lie within ±2^15.
inline __m512i add_neighbours(__m512i a, __m512i b) {
  return _mm512_madd_epi16(_mm512_packs_epi32(a, b), _mm512_set1_epi16(1));
}

/// −bias · x, added up as the products are. Nothing where there is no bias.
template <class Block>
__m512i minus_bias(__m512i x) {
  if constexpr (Block::bias == 0) return _mm512_setzero_si512();
  const __m512i bias = _mm512_set1_epi8(static_cast<char>(Block::bias));
  return _mm512_sub_epi32(_mm512_setzero_si512(),
                          _mm512_dpbusd_epi32(_mm512_setzero_si512(), bias, x));
}

/// 16 bytes of each of four blocks.
template <class Address>
__m512i join_four(const Address& address) {
  const auto at = [&](std::size_t row) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(address(row)));
  };
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(at(0)), at(1), 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(at(2)), at(3), 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/// 32 bytes at each of two addresses.
inline __m512i join_two(const void* a, const void* b) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(load_256(a)), load_256(b), 1);
}

/// Σ (code − bias) · x in each of eight weight rows `stride` blocks apart.
template <class Block>
  requires(Block::size == 32 && Block::bias < 128)
[[gnu::always_inline]] inline __m256i row_sums(const Block* w, std::size_t stride, std::size_t,
                                               const std::int8_t* x) {
  const auto quarter = [&](std::size_t at) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + at)));
  };
  const __m512i x_low = quarter(0), x_high = quarter(16), nibble = _mm512_set1_epi8(15);
  const __m512i start = _mm512_add_epi32(minus_bias<Block>(x_low), minus_bias<Block>(x_high));
  __m512i sum[2];
#pragma GCC unroll 2
  for (std::size_t half = 0; half < 2; ++half) {
    const Block* const first = w + 4 * half * stride;
    const __m512i both = join_four([&](std::size_t row) { return first[row * stride].low; });
    __m512i low = _mm512_and_si512(both, nibble);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    if constexpr (requires { first->high; }) {
      // The 32 bits lead 16 bytes that lie within the block. Spread each bit over a byte.
      const __m512i bits = join_four([&](std::size_t row) { return first[row * stride].high; });
      const __m512i bit_of = _mm512_set1_epi64(static_cast<std::int64_t>(0x8040201008040201u));
      const __m128i bytes = _mm_set_epi64x(0x0101010101010101, 0);
      const __m512i byte_of = _mm512_broadcast_i32x4(bytes);
      const __m512i later = _mm512_broadcast_i32x4(_mm_add_epi8(bytes, _mm_set1_epi8(2)));
      const __m512i fifth = _mm512_set1_epi8(16);
      const auto set = [&](__m512i from) {
        return _mm512_test_epi8_mask(_mm512_shuffle_epi8(bits, from), bit_of);
      };
      low = _mm512_mask_add_epi8(low, set(byte_of), low, fifth);
      high = _mm512_mask_add_epi8(high, set(later), high, fifth);
    }
    sum[half] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(start, low, x_low), high, x_high);
  }
  // In each 128 bits: two lanes of row r, two of row r + 4.
  const __m512i pairs = add_neighbours(sum[0], sum[1]);
  const __m512i whole = _mm512_add_epi32(pairs, _mm512_shuffle_epi32(pairs, _MM_PERM_CDAB));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, whole));
}

/// The same of whole bytes, whose sums of four products leave 16 bits.
[[gnu::always_inline]] inline __m256i row_sums(const q8_0_block* w, std::size_t stride, std::size_t,
                                               const std::int8_t* x) {
  const __m512i in = _mm512_broadcast_i64x4(load_256(x));
  const __m512i start = minus_bias<q8_0_block>(in), top = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i sum[4];
#pragma GCC unroll 4
  for (std::size_t row = 0; row < 4; ++row) {
    const __m512i both = join_two(w[row * stride].quants, w[(row + 4) * stride].quants);
    sum[row] = _mm512_dpbusd_epi32(start, _mm512_xor_si512(both, top), in);
  }
  const auto add = [](__m512i low, __m512i high) { return _mm512_add_epi32(low, high); };
  const __m512i a =
      add(_mm512_unpacklo_epi32(sum[0], sum[1]), _mm512_unpackhi_epi32(sum[0], sum[1]));
  const __m512i b =
      add(_mm512_unpacklo_epi32(sum[2], sum[3]), _mm512_unpackhi_epi32(sum[2], sum[3]));
  // 128 bits each: the first 16 of rows 0 … 3, the last 16 of them, the same of rows 4 … 7.
  const __m512i c = add(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  const __m512i order = _mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7);
  const __m512i halves = _mm512_permutexvar_epi64(order, c);
  return _mm256_add_epi32(_mm512_castsi512_si256(halves), _mm512_extracti64x4_epi64(halves, 1));
}

/// The codes of one part in two blocks.
template <class Block>
[[gnu::always_inline]] inline __m512i codes_of_two(const Block& a, const Block& b,
                                                   std::size_t part) {
  const std::size_t half = part / 4, quarter = part % 4;
  const __m512i nibble = _mm512_set1_epi8(15);
  if constexpr (Block::steps == 2) {
    const std::size_t at = 64 * half + 32 * (quarter % 2);
    const __m512i both = join_two(a.low + at, b.low + at);
    const __m512i low = _mm512_and_si512(quarter >= 2 ? _mm512_srli_epi16(both, 4) : both, nibble);
    const __m512i bits = join_two(a.high + 32 * half, b.high + 32 * half);
    const __m512i moved = quarter == 3
                              ? _mm512_srli_epi16(bits, 2)
                              : _mm512_slli_epi16(bits, 4 - 2 * static_cast<unsigned>(quarter));
    return _mm512_or_si512(low, _mm512_and_si512(moved, _mm512_set1_epi8(0x30)));
  } else {
    const __m512i both = join_two(a.low + part / 2 * 32, b.low + part / 2 * 32);
    const __m512i low = _mm512_and_si512(part % 2 != 0 ? _mm512_srli_epi16(both, 4) : both, nibble);
    if constexpr (requires { a.high; }) {
      const __m512i bit = _mm512_set1_epi8(static_cast<char>(1u << part));
      const __mmask64 set = _mm512_test_epi8_mask(join_two(a.high, b.high), bit);
      return _mm512_mask_add_epi8(low, set, low, _mm512_set1_epi8(16));
    } else {
      return low;
    }
  }
}

/// The same of the first 16 weights of a part in lanes 0 … 7, of the last 16 in lanes 8 … 15.
template <class Block>
  requires(Block::size == 256)
[[gnu::always_inline]] inline __m512i row_sums(const Block* w, std::size_t stride, std::size_t part,
                                               const std::int8_t* x) {
  const __m512i in = _mm512_broadcast_i64x4(load_256(x));
  const __m512i start = minus_bias<Block>(in);
  __m512i sum[4];
#pragma GCC unroll 4
  for (std::size_t row = 0; row < 4; ++row)
    sum[row] =
        _mm512_dpbusd_epi32(start, codes_of_two(w[row * stride], w[(row + 4) * stride], part), in);
  // 128 bits each: the first 16 of rows 0 … 3, the last 16 of them, the same of rows 4 … 7.
  const __m512i whole =
      add_neighbours(add_neighbours(sum[0], sum[1]), add_neighbours(sum[2], sum[3]));
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), whole);
}

/// Σ step · (code − bias) · x of part `part` in eight weight rows.
template <class A, class Block>
  requires(simd::lanes<A> == 16)
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

/// The same in registers of 256 bits.
template <class A, class Block>
  requires(simd::lanes<A> == 8)
[[gnu::always_inline]] inline __m256i row_exact(const Block* w, std::size_t stride,
                                                const eight_scales_of<Block>& scales,
                                                std::size_t part, const std::int8_t* x) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  const ints in(load_256(x));
  __m256i each[8];
  if constexpr (Block::bias >= dots::code_end) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < 8; ++row)
      each[row] = dots::dot_signed(ints(0), ints(load_256(w[row * stride].quants)), in);
    const __m256i low =
        _mm256_hadd_epi32(_mm256_hadd_epi32(each[0], each[1]), _mm256_hadd_epi32(each[2], each[3]));
    const __m256i high =
        _mm256_hadd_epi32(_mm256_hadd_epi32(each[4], each[5]), _mm256_hadd_epi32(each[6], each[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                            _mm256_permute2x128_si256(low, high, 0x31));
  } else {
    ints start(0);  // −bias · x, added up as the products are
    if constexpr (Block::bias != 0)
      start = start - dots::dot(start, ints(_mm256_set1_epi8(Block::bias)), in);
#pragma GCC unroll 8
    for (std::size_t row = 0; row < 8; ++row)
      each[row] = dots::dot(start, ints(load_codes(w[row * stride], part)), in);
    // Sums of neighbouring lanes lie within ±2^15.
    const auto add = [](__m256i a, __m256i b) {
      return _mm256_madd_epi16(_mm256_packs_epi32(a, b), _mm256_set1_epi16(1));
    };
    const __m256i low = add(add(each[0], each[1]), add(each[2], each[3]));
    const __m256i high = add(add(each[4], each[5]), add(each[6], each[7]));
    __m256i first = _mm256_permute2x128_si256(low, high, 0x20);
    __m256i second = _mm256_permute2x128_si256(low, high, 0x31);
    if constexpr (Block::steps == 2) {
      first = _mm256_mullo_epi32(first, scales.step(2 * part));
      second = _mm256_mullo_epi32(second, scales.step(2 * part + 1));
    }
    return _mm256_add_epi32(first, second);
  }
}

/// y[0 … 7] (+)= for one row.
template <class A, class Block>
void packed_row(const Block* w, std::size_t blocks, const quantized_rows& x, float* y, bool add) {
  using eight = xsimd::avx2;
  constexpr std::size_t width = quantized_rows::block, parts = Block::size / width;
  simd::floats<eight> sum = simd::broadcast<eight>(0.0f);
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto block = [&](std::size_t row) -> const Block& { return w[row * blocks + b]; };
    const eight_scales_of<Block> scales(block);
#pragma GCC unroll 8
    for (std::size_t part = 0; part < parts; ++part) {
      // Eight short streams defeat the processor's own prefetching: name the next tile's lines,
      // a large block's one by one.
      if (part % 2 == 0 && part / 2 * cache_line < sizeof(Block))
#pragma GCC unroll 8
        for (std::size_t row = 0; row < 8; ++row)
          simd::prefetch(&block(row), 8 * blocks * sizeof(Block) + part / 2 * cache_line);
      const std::size_t at = b * parts + part;
      const simd::floats<eight> exact(
          _mm256_cvtepi32_ps(row_exact<A>(w + b, blocks, scales, part, &x.quants[at * width])));
      sum = simd::fma<eight>(
          exact, simd::floats<eight>(scales.scale(part)) * simd::broadcast<eight>(x.scales[at]),
          sum);
      if constexpr (Block::has_offset)
        sum = simd::fma<eight>(simd::floats<eight>(scales.offset(part)),
                               simd::broadcast<eight>(x.totals[at]), sum);
    }
  }
  simd::store<eight>(y, add ? simd::load<eight>(y) + sum : sum);
}

}  // namespace weir::detail

#endif
