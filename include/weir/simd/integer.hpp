// Exact dot products of bytes, in the registers of each architecture.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// One register of 32-bit integers.
template <class A>
using ints = xsimd::batch<std::int32_t, A>;

/// Whether `byte_dots<A>` exists.
template <class A>
inline constexpr bool has_byte_dots = false;

/// Four products of bytes added to each 32-bit lane.
template <class A>
struct byte_dots;

#if defined(__AVX2__) && defined(__F16C__)

template <class A>
  requires(lanes<A> == 8)
inline constexpr bool has_byte_dots<A> = true;

template <class A>
  requires(lanes<A> == 8)
struct byte_dots<A> {
  /// Codes end here.
  static constexpr std::int32_t code_end = 128;

  /// sum[l] + Σ_{i<4} codes[4 l + i] · x[4 l + i] in every lane l; x lies in −127 … 127.
  static ints<A> dot(ints<A> sum, ints<A> codes, ints<A> x) {
    return widen(sum, products(codes, x));
  }

  /// How many products of two bytes each, with codes below `end`, may be added up in 16 bits.
  static constexpr std::int32_t products_in_16_bits(std::int32_t end) {
    return 0x7FFF / (2 * 127 * (end - 1));
  }
  /// Σ_{i<2} codes[2 j + i] · x[2 j + i] in every half j of a lane.
  static ints<A> products(ints<A> codes, ints<A> x) {
    return ints<A>(_mm256_maddubs_epi16(codes, x));
  }
  /// The same added to `sum`, in 16 bits.
  static ints<A> add_products(ints<A> sum, ints<A> codes, ints<A> x) {
    return ints<A>(_mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x)));
  }
  /// Both halves of `pairs` added to each lane.
  static ints<A> widen(ints<A> sum, ints<A> pairs) {
    return ints<A>(_mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
  }

  /// The same numbers: GCC 12 adds up products in an order of its own otherwise, and keeps those
  /// that wait in memory.
  static ints<A> held(ints<A> x) {
    __m256i all = x;
    asm("" : "+x"(all));
    return ints<A>(all);
  }

  /// sum[l] + Σ_{i<4} w[4 l + i] · x[4 l + i] for weights that are any int8.
  static ints<A> dot_signed(ints<A> sum, ints<A> w, ints<A> x) {
    // |w| ≤ 128 and |x| ≤ 127: a pair of products stays below 2^15, so that nothing saturates.
    return widen(sum, products(ints<A>(_mm256_abs_epi8(w)), ints<A>(_mm256_sign_epi8(x, w))));
  }

  /// Σ_{i<2} a[2 l + i] · b[2 l + i] in every lane l, of 16-bit numbers.
  static ints<A> dot_pairs(ints<A> a, ints<A> b) { return ints<A>(_mm256_madd_epi16(a, b)); }

  /// Turns 32 bytes of each of eight rows into columns: out[c] has bytes 4 c … 4 c + 3 of row r in
  /// lane r.
  static void transpose(const __m256i (&rows)[8], ints<A> (&out)[8]) {
    __m256i pair[8], quad[8];
    for (int i = 0; i < 8; i += 2) {
      pair[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
      pair[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
      for (int j = 0; j < 2; ++j) {
        quad[i + 2 * j] = _mm256_unpacklo_epi64(pair[i + j], pair[i + j + 2]);
        quad[i + 2 * j + 1] = _mm256_unpackhi_epi64(pair[i + j], pair[i + j + 2]);
      }
    for (int i = 0; i < 4; ++i) {
      out[i] = ints<A>(_mm256_permute2x128_si256(quad[i], quad[i + 4], 0x20));
      out[i + 4] = ints<A>(_mm256_permute2x128_si256(quad[i], quad[i + 4], 0x31));
    }
  }
};

#endif

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)

/// One register of two.
inline __m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

template <class A>
  requires(lanes<A> == 16)
inline constexpr bool has_byte_dots<A> = true;

template <class A>
  requires(lanes<A> == 16)
struct byte_dots<A> {
  static constexpr std::int32_t code_end = 256;
  /// Four are added up in 32 bits at once.
  static constexpr std::int32_t products_in_16_bits(std::int32_t) { return 1; }
  static ints<A> held(ints<A> x) { return x; }

  static ints<A> dot(ints<A> sum, ints<A> codes, ints<A> x) {
    return ints<A>(_mm512_dpbusd_epi32(sum, codes, x));
  }
  static ints<A> dot_pairs(ints<A> a, ints<A> b) { return ints<A>(_mm512_madd_epi16(a, b)); }

  static void transpose(const __m256i (&rows)[16], ints<A> (&out)[8]) {
    __m512i pair[8], quad[8];
    for (int i = 0; i < 8; i += 2) {  // rows r and r + 4 side by side
      const int r = i / 4 * 8 + i % 4;
      const __m512i a = join(rows[r], rows[r + 4]), b = join(rows[r + 1], rows[r + 5]);
      pair[i] = _mm512_unpacklo_epi32(a, b);
      pair[i + 1] = _mm512_unpackhi_epi32(a, b);
    }
    for (int i = 0; i < 8; i += 4)
      for (int j = 0; j < 2; ++j) {
        quad[i + 2 * j] = _mm512_unpacklo_epi64(pair[i + j], pair[i + j + 2]);
        quad[i + 2 * j + 1] = _mm512_unpackhi_epi64(pair[i + j], pair[i + j + 2]);
      }
    for (int i = 0; i < 4; ++i) {
      out[i] = ints<A>(_mm512_shuffle_i64x2(quad[i], quad[i + 4], 0x88));
      out[i + 4] = ints<A>(_mm512_shuffle_i64x2(quad[i], quad[i + 4], 0xDD));
    }
  }
};

#endif

}  // namespace weir::inline WEIR_TARGET::simd
