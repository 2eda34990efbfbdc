// Exact dot products of pairs of 16 bits: for values that are stored as integers, and for keys that
// are compared. simd/key_sums.hpp has those of queries with keys.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// `lanes<A>` chains at once. This is the plain form; it defines the others.
template <class A>
struct kv_dots {
  using sums = std::array<std::int32_t, lanes<A>>;
  using pairs = std::array<std::int16_t, 2 * lanes<A>>;  ///< lane l's two at 2 l and 2 l + 1

  static sums broadcast(std::int32_t x) {
    sums all;
    all.fill(x);
    return all;
  }
  /// Widens 2 · lanes signed bytes.
  static pairs load(const std::int8_t* p) {
    pairs all;
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = p[i];
    return all;
  }
  /// Numbers that lie in pairs, the first in the lower half.
  static pairs load_pairs(const std::int32_t* p) {
    pairs all;
    for (std::size_t l = 0; l < lanes<A>; ++l) {
      all[2 * l] = static_cast<std::int16_t>(p[l] & 0xFFFF);
      all[2 * l + 1] = static_cast<std::int16_t>(p[l] >> 16);
    }
    return all;
  }
  /// Widens 2 · lanes bytes of two signed codes each: the lower codes, then the upper ones.
  static void load_halves(const std::int8_t* p, pairs& lower, pairs& upper) {
    for (std::size_t i = 0; i < lower.size(); ++i) {
      lower[i] = static_cast<std::int16_t>(((p[i] & 15) ^ 8) - 8);
      upper[i] = static_cast<std::int16_t>(p[i] >> 4);
    }
  }
  /// sum[l] + x[2 l] · two[0] + x[2 l + 1] · two[1] in every lane l. Sums stay below 2^31.
  static sums dot(sums sum, const pairs& x, const std::int16_t* two) {
    for (std::size_t l = 0; l < sum.size(); ++l)
      sum[l] += std::int32_t{x[2 * l]} * two[0] + std::int32_t{x[2 * l + 1]} * two[1];
    return sum;
  }
  /// The same numbers, where they are: GCC 12 copies the sums of some loops to other registers and
  /// back at each turn, or to memory.
  static sums stay(const sums& x) { return x; }
  /// In the lanes of `some` (a bit each) where x is larger than `most`: most = x, where = now.
  static void keep_largest(const sums& x, std::uint32_t some, std::int32_t now, std::int32_t* most,
                           std::int32_t* where) {
    for (std::size_t l = 0; l < x.size(); ++l)
      if ((some >> l & 1u) != 0 && x[l] > most[l]) most[l] = x[l], where[l] = now;
  }
  /// Rounds to nearest, ties to even.
  static floats<A> to_floats(const sums& x) {
    alignas(64) float wide[lanes<A>];
    for (std::size_t l = 0; l < x.size(); ++l) wide[l] = static_cast<float>(x[l]);
    return floats<A>::load_aligned(wide);
  }
  /// The largest magnitude of `n` numbers, a multiple of 16; NaN if there is one.
  static float largest(const float* x, std::size_t n) {
    std::uint32_t most = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t bits = magnitude_bits(x[i]);
      most = most > bits ? most : bits;
    }
    return std::bit_cast<float>(most);
  }
  /// `round_to_int16` of `n` numbers, a multiple of 16.
  static void round(const float* x, float by, std::int16_t* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = round_to_int16(x[i], by);
  }
};

#if defined(__AVX2__) && defined(__FMA__)

template <class A>
  requires(lanes<A> == 8)
struct kv_dots<A> {
  using sums = __m256i;
  using pairs = __m256i;

  static sums broadcast(std::int32_t x) { return _mm256_set1_epi32(x); }
  static pairs load(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static pairs load_pairs(const std::int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void load_halves(const std::int8_t* p, pairs& lower, pairs& upper) {
    const pairs both = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    lower = _mm256_srai_epi16(_mm256_slli_epi16(both, 12), 12);
    upper = _mm256_srai_epi16(both, 4);
  }
  static sums dot(sums sum, pairs x, const std::int16_t* two) {
    std::int32_t both;
    std::memcpy(&both, two, sizeof both);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_set1_epi32(both)));
  }
  static sums stay(sums x) {
    asm("" : "+x"(x));
    return x;
  }
  static void keep_largest(sums x, std::uint32_t some, std::int32_t now, std::int32_t* most,
                           std::int32_t* where) {
    auto* const to = reinterpret_cast<__m256i*>(most);
    auto* const at = reinterpret_cast<__m256i*>(where);
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128),
                  before = _mm256_loadu_si256(to),
                  those = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(some)), bit),
                  more = _mm256_and_si256(_mm256_cmpeq_epi32(those, bit),
                                          _mm256_cmpgt_epi32(x, before));
    _mm256_storeu_si256(to, _mm256_blendv_epi8(before, x, more));
    _mm256_storeu_si256(at,
                        _mm256_blendv_epi8(_mm256_loadu_si256(at), _mm256_set1_epi32(now), more));
  }
  static floats<A> to_floats(sums x) { return floats<A>(_mm256_cvtepi32_ps(x)); }
  static float largest(const float* x, std::size_t n) {
    __m256i most = _mm256_setzero_si256();
    for (std::size_t i = 0; i < n; i += 8)
      most = _mm256_max_epi32(
          most, _mm256_and_si256(_mm256_set1_epi32(0x7FFFFFFF),
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i))));
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    return std::bit_cast<float>(_mm_cvtsi128_si32(four));
  }
  static void round(const float* x, float by, std::int16_t* out, std::size_t n) {
    const __m256 factor = _mm256_set1_ps(by), shift = _mm256_set1_ps(rounder);
    for (std::size_t i = 0; i < n; i += 8) {
      // The low 16 bits of each lane, moved together.
      const __m256i shifted =
          _mm256_castps_si256(_mm256_fmadd_ps(_mm256_loadu_ps(x + i), factor, shift));
      const __m256i low = _mm256_and_si256(shifted, _mm256_set1_epi32(0xFFFF));
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_castsi256_si128(packed));
    }
  }
};

#endif

#if defined(__AVX512BW__)

template <class A>
  requires(lanes<A> == 16)
struct kv_dots<A> {
  using sums = __m512i;
  using pairs = __m512i;

  static sums broadcast(std::int32_t x) { return _mm512_set1_epi32(x); }
  static pairs load(const std::int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static pairs load_pairs(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static void load_halves(const std::int8_t* p, pairs& lower, pairs& upper) {
    const pairs both =
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    lower = _mm512_srai_epi16(_mm512_slli_epi16(both, 12), 12);
    upper = _mm512_srai_epi16(both, 4);
  }
  static sums dot(sums sum, pairs x, const std::int16_t* two) {
    std::int32_t both;
    std::memcpy(&both, two, sizeof both);
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(sum, x, _mm512_set1_epi32(both));
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, _mm512_set1_epi32(both)));
#endif
  }
  static sums stay(sums x) {
    asm("" : "+v"(x));
    return x;
  }
  static void keep_largest(sums x, std::uint32_t some, std::int32_t now, std::int32_t* most,
                           std::int32_t* where) {
    const __mmask16 more =
        _mm512_mask_cmpgt_epi32_mask(static_cast<__mmask16>(some), x, _mm512_loadu_si512(most));
    _mm512_mask_storeu_epi32(most, more, x);
    _mm512_mask_storeu_epi32(where, more, _mm512_set1_epi32(now));
  }
  static floats<A> to_floats(sums x) { return floats<A>(_mm512_cvtepi32_ps(x)); }
  static float largest(const float* x, std::size_t n) {
    __m512i most = _mm512_setzero_si512();
    for (std::size_t i = 0; i < n; i += 16)
      most = _mm512_max_epi32(
          most, _mm512_and_si512(_mm512_set1_epi32(0x7FFFFFFF), _mm512_loadu_si512(x + i)));
    return std::bit_cast<float>(_mm512_reduce_max_epi32(most));
  }
  static void round(const float* x, float by, std::int16_t* out, std::size_t n) {
    const __m512 factor = _mm512_set1_ps(by), shift = _mm512_set1_ps(rounder);
    for (std::size_t i = 0; i < n; i += 16) {
      const __m512i shifted =
          _mm512_castps_si512(_mm512_fmadd_ps(_mm512_loadu_ps(x + i), factor, shift));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm512_cvtepi32_epi16(shifted));
    }
  }
};

#endif

}  // namespace weir::inline WEIR_TARGET::simd
