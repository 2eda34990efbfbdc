// Exact sums of products of packed weights with 8-bit activations, eight blocks at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

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
  return simd::join(low, high);
}

/// 32 bytes at each of two addresses.
inline __m512i join_two(const void* a, const void* b) {
  return simd::join(load_256(a), load_256(b));
}

/// Σ (code − bias) · x in each of eight blocks, the first four with x[0], the others with x[1].
template <class Block, class At>
  requires(Block::size == 32 && Block::bias < 128)
[[gnu::always_inline]] inline __m256i row_sums(const At& block, const std::int8_t* const (&x)[2]) {
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
[[gnu::always_inline]] inline __m256i row_sums(const At& block, const std::int8_t* const (&x)[2]) {
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

/// The codes of four parts of a block of 256, two side by side in each register: those that lie in
/// the lower halves of 64 bytes, and those in the upper ones.
template <class Block>
struct codes_of_four {
  __m512i lower, upper;

  /// Which of the four are where: lower twice, upper twice.
  static constexpr std::size_t part[4] = {0, Block::steps == 2 ? 1 : 2, Block::steps == 2 ? 2 : 1,
                                          3};

  [[gnu::always_inline]] codes_of_four(const Block& w, std::size_t first) {
    const __m512i both = _mm512_loadu_si512(w.low + first / 4 * 64);
    const __m512i nibble = _mm512_set1_epi8(15);
    lower = _mm512_and_si512(both, nibble);
    upper = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    if constexpr (Block::steps == 2) {
      const __m512i bits = _mm512_broadcast_i64x4(load_256(w.high + first / 4 * 32));
      const __m512i fifth_and_sixth = _mm512_set1_epi8(0x30);
      const __m512i left = simd::join(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
      const __m512i right = simd::join(_mm256_setzero_si256(), _mm256_set1_epi16(2));
      lower =
          _mm512_or_si512(lower, _mm512_and_si512(_mm512_sllv_epi16(bits, left), fifth_and_sixth));
      upper =
          _mm512_or_si512(upper, _mm512_and_si512(_mm512_srlv_epi16(bits, right), fifth_and_sixth));
    } else if constexpr (requires { w.high; }) {
      const __m512i bits = _mm512_broadcast_i64x4(load_256(w.high)), fifth = _mm512_set1_epi8(16);
      const auto set = [&](std::size_t of_lower, std::size_t of_upper) {
        const auto bit = [&](std::size_t p) {
          return _mm256_set1_epi8(static_cast<char>(1u << (first + p)));
        };
        return _mm512_test_epi8_mask(bits, simd::join(bit(of_lower), bit(of_upper)));
      };
      lower = _mm512_mask_add_epi8(lower, set(part[0], part[1]), lower, fifth);
      upper = _mm512_mask_add_epi8(upper, set(part[2], part[3]), upper, fifth);
    }
  }
};

/// exact[i] = Σ step · (code − bias) · x of part first + i in eight blocks, for four parts, whose
/// activations begin at x[0].
template <class A, class Block, class At>
  requires(simd::lanes<A> == 16 && Block::size == 256)
[[gnu::always_inline]] inline void row_exact(const At& block, const eight_scales_of<Block>& scales,
                                             std::size_t first, const std::int8_t* const (&x)[2],
                                             __m256i (&exact)[4]) {
  using codes = codes_of_four<Block>;
  const auto in_of = [&](std::size_t i) { return x[0] + codes::part[i] * quantized_rows::block; };
  const __m512i in[2] = {join_two(in_of(0), in_of(1)), join_two(in_of(2), in_of(3))};
  const __m512i start[2] = {minus_bias<Block>(in[0]), minus_bias<Block>(in[1])};
  // 128 bits each: the first 16 of a part of four blocks, the last 16 of it, the same of another.
  __m512i whole[2][2];
#pragma GCC unroll 2
  for (std::size_t four = 0; four < 2; ++four) {
    __m512i sum[2][4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const codes c(block(4 * four + i), first);
      sum[0][i] = _mm512_dpbusd_epi32(start[0], c.lower, in[0]);
      sum[1][i] = _mm512_dpbusd_epi32(start[1], c.upper, in[1]);
    }
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      const auto& s = sum[half];
      whole[half][four] = add_neighbours(add_neighbours(s[0], s[1]), add_neighbours(s[2], s[3]));
      if constexpr (Block::steps == 2)
        whole[half][four] =
            _mm512_mullo_epi32(whole[half][four], scales.steps_of_four(four, first / 2 + half));
    }
  }
#pragma GCC unroll 2
  for (std::size_t half = 0; half < 2; ++half) {
    const auto& w = whole[half];
    const __m512i sums = _mm512_add_epi32(_mm512_shuffle_i32x4(w[0], w[1], 0x88),
                                          _mm512_shuffle_i32x4(w[0], w[1], 0xDD));
    const __m512i rows = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), sums);
    exact[codes::part[2 * half]] = _mm512_castsi512_si256(rows);
    exact[codes::part[2 * half + 1]] = _mm512_extracti64x4_epi64(rows, 1);
  }
}

/// exact[0] = Σ (code − bias) · x of eight blocks of 32, x[0] for four, x[1] for four.
template <class A, class Block, class At>
  requires(simd::lanes<A> == 16 && Block::size == 32)
[[gnu::always_inline]] inline void row_exact(const At& block, const eight_scales_of<Block>&,
                                             std::size_t, const std::int8_t* const (&x)[2],
                                             __m256i (&exact)[1]) {
  exact[0] = row_sums<Block>(block, x);
}

#endif

/// Of four blocks and four others, the two numbers that lie 128 bits apart.
inline __m256i add_halves(__m256i a, __m256i b) {
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

/// Both in registers of 256 bits, for any number of parts: activations begin at x[0] for the first
/// four blocks, at x[1] for the others.
template <class A, class Block, class At, std::size_t Parts>
  requires(simd::lanes<A> == 8 && Block::steps == 1)
[[gnu::always_inline]] inline void row_exact(const At& block, const eight_scales_of<Block>&,
                                             std::size_t first_part,
                                             const std::int8_t* const (&x)[2],
                                             __m256i (&exact)[Parts]) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
#pragma GCC unroll 4
  for (std::size_t p = 0; p < Parts; ++p) {
    const std::size_t part = first_part + p;
    __m256i each[8];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) {
      const ints in(load_256(x[i / 4] + p * quantized_rows::block));
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
    exact[p] = add_halves(low, high);
  }
}

/// The same with steps. Products of two codes and the sums of eight that follow stay in 16 bits:
/// those of codes may not fit, those without the bias do. The last addition multiplies by the step.
template <class A, class Block, class At, std::size_t Parts>
  requires(simd::lanes<A> == 8 && Block::steps == 2)
[[gnu::always_inline]] inline void row_exact(const At& block, const eight_scales_of<Block>& scales,
                                             std::size_t first_part,
                                             const std::int8_t* const (&x)[2],
                                             __m256i (&exact)[Parts]) {
#pragma GCC unroll 4
  for (std::size_t p = 0; p < Parts; ++p) {
    const std::size_t part = first_part + p;
    const __m256i in = load_256(x[0] + p * quantized_rows::block);
    __m256i bias = _mm256_maddubs_epi16(_mm256_set1_epi8(Block::bias), in);
    bias = _mm256_add_epi16(bias, _mm256_shuffle_epi32(bias, 0x4E));
    bias = _mm256_add_epi16(bias, _mm256_shuffle_epi32(bias, 0xB1));
    __m256i sum[2];  // 128 bits each: 16 weights of four blocks, two numbers a block
#pragma GCC unroll 2
    for (std::size_t four = 0; four < 2; ++four) {
      const auto products = [&](std::size_t i) {
        return _mm256_maddubs_epi16(load_codes(block(4 * four + i), part), in);
      };
      const auto both = [&](std::size_t i) {
        const __m256i a = products(i), b = products(i + 1);
        return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
      };
      const __m256i a = both(0), b = both(2);
      const __m256i codes =
          _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
      sum[four] =
          _mm256_madd_epi16(_mm256_sub_epi16(codes, bias), scales.step_pairs_of_four(four, part));
    }
    exact[p] = add_halves(sum[0], sum[1]);
  }
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
