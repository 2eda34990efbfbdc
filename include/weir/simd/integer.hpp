// Exact dot products of 8-bit integers, in the registers of each architecture.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>
#include <weir/simd/simd.hpp>

namespace weir::simd {

/// Σ a[i] · b[i] over 32 numbers. Exact.
inline std::int32_t dot_32(const std::int8_t* a, const std::int8_t* b) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < 32; ++i) sum += std::int32_t{a[i]} * b[i];
  return sum;
}

/// Whether `eight_dots<A>` exists.
template <class A>
inline constexpr bool has_eight_dots =
#if defined(__AVX2__) && defined(__F16C__)
    lanes<A> >= 8;
#else
    false;
#endif

#if defined(__AVX2__) && defined(__F16C__)

/// Eight chains of exact dot products at once, one in each 32-bit lane. Weights are any int8,
/// activations lie in −127 … 127.
template <class A>
struct eight_dots {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  static constexpr bool vnni = lanes<A> == 16;
#else
  static constexpr bool vnni = false;
#endif
  /// What is added to every weight to make it unsigned: take `bias * sum of activations` off.
  static constexpr std::int32_t bias = vnni ? 128 : 0;

  /// 32 weights, any alignment, biased.
  static __m256i load_weights(const std::int8_t* w) {
    const __m256i plain = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    if constexpr (vnni) return _mm256_xor_si256(plain, _mm256_set1_epi8(static_cast<char>(0x80)));
    return plain;
  }

  /// sum[l] + Σ_{i<4} w[4 l + i] · x[4 l + i] in every lane l.
  static __m256i dot_4(__m256i sum, __m256i w, __m256i x) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    if constexpr (vnni) return _mm256_dpbusd_epi32(sum, w, x);
#endif
    // |w| ≤ 128 and |x| ≤ 127: a pair of products stays below 2^15, so that nothing saturates.
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  /// The same for codes in 0 … 127 as they are, without a bias.
  static __m256i dot_4_codes(__m256i sum, __m256i codes, __m256i x) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    if constexpr (vnni) return _mm256_dpbusd_epi32(sum, codes, x);
#endif
    const __m256i pairs = _mm256_maddubs_epi16(codes, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  /// Lane j of the result is the sum of all lanes of d[j].
  static __m256i sum_each(const __m256i (&d)[8]) {
    const __m256i low =
        _mm256_hadd_epi32(_mm256_hadd_epi32(d[0], d[1]), _mm256_hadd_epi32(d[2], d[3]));
    const __m256i high =
        _mm256_hadd_epi32(_mm256_hadd_epi32(d[4], d[5]), _mm256_hadd_epi32(d[6], d[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                            _mm256_permute2x128_si256(low, high, 0x31));
  }

  /// Lane j of `first` is the sum of lanes 0 … 3 of d[j], of `second` that of lanes 4 … 7. The sum
  /// of any two neighbours lies within ±2^15.
  static void sum_small_halves(const __m256i (&d)[8], __m256i& first, __m256i& second) {
    const auto add = [](__m256i a, __m256i b) {
      return _mm256_madd_epi16(_mm256_packs_epi32(a, b), _mm256_set1_epi16(1));
    };
    const __m256i low = add(add(d[0], d[1]), add(d[2], d[3]));
    const __m256i high = add(add(d[4], d[5]), add(d[6], d[7]));
    first = _mm256_permute2x128_si256(low, high, 0x20);
    second = _mm256_permute2x128_si256(low, high, 0x31);
  }

  /// Turns eight rows of eight 32-bit numbers into eight columns.
  static void transpose(__m256i (&m)[8]) {
    __m256i pair[8], quad[8];
    for (int i = 0; i < 8; i += 2) {
      pair[i] = _mm256_unpacklo_epi32(m[i], m[i + 1]);
      pair[i + 1] = _mm256_unpackhi_epi32(m[i], m[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
      for (int j = 0; j < 2; ++j) {
        quad[i + 2 * j] = _mm256_unpacklo_epi64(pair[i + j], pair[i + j + 2]);
        quad[i + 2 * j + 1] = _mm256_unpackhi_epi64(pair[i + j], pair[i + j + 2]);
      }
    for (int i = 0; i < 4; ++i) {
      m[i] = _mm256_permute2x128_si256(quad[i], quad[i + 4], 0x20);
      m[i + 4] = _mm256_permute2x128_si256(quad[i], quad[i + 4], 0x31);
    }
  }
};

#endif

}  // namespace weir::simd
