// One row of activations against packed weights, eight blocks at a time: memory is the limit, and
// behind it unpacking.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

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

/// Σ (code − bias) · x in each of eight blocks, the first four with x[0], the others with x[1].
template <class Block, class At>
  requires(Block::size == 32 && Block::bias < 128)
[[gnu::always_inline]] inline __m256i row_sums(const At& block, std::size_t,
                                               const std::int8_t* const (&x)[2]) {
  const __m512i nibble = _mm512_set1_epi8(15);
  __m512i sum[2];
#pragma GCC unroll 2
  for (std::size_t half = 0; half < 2; ++half) {
    const auto quarter = [&](std::size_t at) {
      return _mm512_broadcast_i32x4(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(x[half] + at)));
    };
    const __m512i x_low = quarter(0), x_high = quarter(16);
    const __m512i start = _mm512_add_epi32(minus_bias<Block>(x_low), minus_bias<Block>(x_high));
    const auto one = [&](std::size_t i) -> const Block& { return block(4 * half + i); };
    const __m512i both = join_four([&](std::size_t i) { return one(i).low; });
    __m512i low = _mm512_and_si512(both, nibble);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    if constexpr (requires { one(0).high; }) {
      // The 32 bits lead 16 bytes that lie within the block. Spread each bit over a byte.
      const __m512i bits = join_four([&](std::size_t i) { return one(i).high; });
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
  // In each 128 bits: two lanes of block i, two of block i + 4.
  const __m512i pairs = add_neighbours(sum[0], sum[1]);
  const __m512i whole = _mm512_add_epi32(pairs, _mm512_shuffle_epi32(pairs, _MM_PERM_CDAB));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, whole));
}

/// The same of whole bytes, whose sums of four products leave 16 bits.
template <class Block, class At>
  requires(Block::bias == 128)
[[gnu::always_inline]] inline __m256i row_sums(const At& block, std::size_t,
                                               const std::int8_t* const (&x)[2]) {
  const __m512i in = join_two(x[0], x[1]);
  const __m512i start = minus_bias<Block>(in), top = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i sum[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    const __m512i both = join_two(block(i).quants, block(i + 4).quants);
    sum[i] = _mm512_dpbusd_epi32(start, _mm512_xor_si512(both, top), in);
  }
  const auto add = [](__m512i low, __m512i high) { return _mm512_add_epi32(low, high); };
  const __m512i a =
      add(_mm512_unpacklo_epi32(sum[0], sum[1]), _mm512_unpackhi_epi32(sum[0], sum[1]));
  const __m512i b =
      add(_mm512_unpacklo_epi32(sum[2], sum[3]), _mm512_unpackhi_epi32(sum[2], sum[3]));
  // 128 bits each: the first 16 of blocks 0 … 3, the last 16 of them, the same of blocks 4 … 7.
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
template <class Block, class At>
  requires(Block::size == 256)
[[gnu::always_inline]] inline __m512i row_sums(const At& block, std::size_t part,
                                               const std::int8_t* const (&x)[2]) {
  const __m512i in = join_two(x[0], x[1]);
  const __m512i start = minus_bias<Block>(in);
  __m512i sum[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i)
    sum[i] = _mm512_dpbusd_epi32(start, codes_of_two(block(i), block(i + 4), part), in);
  // 128 bits each: the first 16 of blocks 0 … 3, the last 16 of them, the same of blocks 4 … 7.
  const __m512i whole =
      add_neighbours(add_neighbours(sum[0], sum[1]), add_neighbours(sum[2], sum[3]));
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), whole);
}

/// Σ step · (code − bias) · x of part `part` in eight blocks, x[0] for four, x[1] for four.
template <class A, class Block, class At>
  requires(simd::lanes<A> == 16)
[[gnu::always_inline]] inline __m256i row_exact(const At& block,
                                                const eight_scales_of<Block>& scales,
                                                std::size_t part,
                                                const std::int8_t* const (&x)[2]) {
  const auto sums = row_sums<Block>(block, part, x);
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
template <class A, class Block, class At>
  requires(simd::lanes<A> == 8)
[[gnu::always_inline]] inline __m256i row_exact(const At& block,
                                                const eight_scales_of<Block>& scales,
                                                std::size_t part,
                                                const std::int8_t* const (&x)[2]) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  __m256i each[8];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    const ints in(load_256(x[i / 4]));
    if constexpr (Block::bias >= dots::code_end) {
      each[i] = dots::dot_signed(ints(0), ints(load_256(block(i).quants)), in);
    } else {
      ints start(0);  // −bias · x, added up as the products are
      if constexpr (Block::bias != 0)
        start = start - dots::dot(start, ints(_mm256_set1_epi8(Block::bias)), in);
      each[i] = dots::dot(start, ints(load_codes(block(i), part)), in);
    }
  }
  const auto add = [](__m256i a, __m256i b) {
    if constexpr (Block::bias >= dots::code_end) return _mm256_hadd_epi32(a, b);
    // Sums of neighbouring lanes lie within ±2^15.
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

/// Weight rows that one row of activations passes at once: streams from memory. Few and long ones
/// keep it busiest: where unpacking leaves time, four, each of which gives two blocks.
template <class Block>
inline constexpr std::size_t row_streams = Block::bias == 128 ? 4 : 8;

/// How far ahead in its stream a row asks for weights, in bytes.
inline constexpr std::size_t row_ahead = 2048;

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
    for (std::size_t half = 0; half < parts; half += together)
#pragma GCC unroll 4
      for (std::size_t part = half; part < half + together; ++part) {
        if (part % 2 == 0 && part / 2 * cache_line < sizeof(Block))
#pragma GCC unroll 8
          for (std::size_t i = 0; i < streams; ++i)
            simd::prefetch(&block(i), row_ahead + part / 2 * cache_line);
        const __m256 scale = scales.scale(part), offset = scales.offset(part);
        const std::size_t at[2] = {b * parts + part, last * parts + part};
        const std::int8_t* const in[2] = {&x.quants[at[0] * width], &x.quants[at[1] * width]};
        const __m256 exact = _mm256_cvtepi32_ps(row_exact<A, Block>(block, scales, part, in));
        const auto go_on = [&](auto e, auto s, auto o, std::size_t i) {
          const simd::floats<chain> unit = simd::broadcast<chain>(x.scales[i]);
          sum = simd::fma<chain>(simd::floats<chain>(e), simd::floats<chain>(s) * unit, sum);
          if constexpr (Block::has_offset)
            sum =
                simd::fma<chain>(simd::floats<chain>(o), simd::broadcast<chain>(x.totals[i]), sum);
        };
        if constexpr (along == 1) {
          go_on(exact, scale, offset, at[0]);
        } else {
          const auto low = [](__m256 v) { return _mm256_castps256_ps128(v); };
          const auto high = [](__m256 v) { return _mm256_extractf128_ps(v, 1); };
          go_on(low(exact), low(scale), low(offset), at[0]);
          if (last != b) go_on(high(exact), high(scale), high(offset), at[1]);
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

}  // namespace weir::detail

#endif
