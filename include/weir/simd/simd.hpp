// xsimd behind one thin page: what kernels may say, and the differences between xsimd releases.
//
// xsimd gives registers, loads, arithmetic and selection for every architecture. This page adds
// what Debian's xsimd 8.1 lacks: a fused multiply-add that fuses everywhere, 16-bit conversions,
// lane masks taken from integers, and reductions in one fixed order. Each has a plain form that
// works for any register, and intrinsics where they pay.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <xsimd/xsimd.hpp>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include <weir/core/exact_arithmetic.hpp>
#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/simd/arch.hpp>
#include <weir/simd/bits_as.hpp>
#include <weir/simd/prefetch.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// The best architecture that the compiler's flags allow.
using native = xsimd::default_arch;

/// One register of f32.
template <class A>
using floats = xsimd::batch<float, A>;

template <class A>
inline constexpr std::size_t lanes = floats<A>::size;

template <class A>
inline floats<A> broadcast(float x) {
  return floats<A>(x);
}

// ---- load and store, any alignment -------------------------------------------------------------

template <class A>
inline floats<A> load(const float* p) {
  return floats<A>::load_unaligned(p);
}

/// Exact conversion of `lanes<A>` bf16.
template <class A>
inline floats<A> load(const bf16* p) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return floats<A>(_mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16)));
#endif
#if defined(__AVX2__)
  if constexpr (lanes<A> == 8)
    return floats<A>(_mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16)));
#endif
#if defined(__aarch64__)
  if constexpr (lanes<A> == 4)
    return floats<A>(vreinterpretq_f32_u32(
        vshll_n_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)), 16)));
#endif
  alignas(64) float wide[lanes<A>];
  for (std::size_t i = 0; i < lanes<A>; ++i) wide[i] = to_float(p[i]);
  return floats<A>::load_aligned(wide);
}

/// Exact conversion of `lanes<A>` f16.
template <class A>
inline floats<A> load(const f16* p) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return floats<A>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#endif
#if defined(__F16C__)
  if constexpr (lanes<A> == 8)
    return floats<A>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
#if defined(__aarch64__)
  if constexpr (lanes<A> == 4)
    return floats<A>(
        vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)))));
#endif
  alignas(64) float wide[lanes<A>];
  for (std::size_t i = 0; i < lanes<A>; ++i) wide[i] = to_float(p[i]);
  return floats<A>::load_aligned(wide);
}

template <class A>
inline void store(float* p, floats<A> x) {
  x.store_unaligned(p);
}

/// The same number, in a register from here on: compilers may load it again for each use, and
/// kernels that use it often would wait for the loads.
template <class A>
inline floats<A> in_register(floats<A> x) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) {
    __m512 held = x;
    asm("" : "+v"(held));
    return floats<A>(held);
  }
#endif
#if defined(__AVX__)
  if constexpr (lanes<A> == 8) {
    __m256 held = x;
    asm("" : "+x"(held));
    return floats<A>(held);
  }
#endif
  return x;
}

// ---- arithmetic --------------------------------------------------------------------------------

#if defined(__SSE2__) && !defined(__FMA__)
namespace detail {

/// What f64 makes of a * b + c of f32, an exact product and a rounded sum. Rounding that once more,
/// to f32, is not what rounding once would be; rounding the sum to odd first is (Boldo & Melquiond,
/// "Emulation of FMA and Correctly Rounded Sums", 2008).
inline __m128d rounded_to_odd(__m128d product, __m128d c, __m128d sum) {
  const __m128d of_c = _mm_sub_pd(sum, product);
  const __m128d error = _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(sum, of_c)), _mm_sub_pd(c, of_c));
  // Towards zero, and odd where anything is left. The error of an infinity is NaN: it stays.
  const __m128d zero = _mm_setzero_pd();
  const __m128i inexact =
      _mm_castpd_si128(_mm_or_pd(_mm_cmplt_pd(error, zero), _mm_cmpgt_pd(error, zero)));
  const __m128i signs = _mm_srai_epi32(_mm_castpd_si128(_mm_xor_pd(error, sum)), 31);
  const __m128i beyond = _mm_and_si128(_mm_shuffle_epi32(signs, 0xF5), inexact);
  return _mm_castsi128_pd(
      _mm_or_si128(_mm_add_epi64(_mm_castpd_si128(sum), beyond), _mm_srli_epi64(inexact, 63)));
}

/// a * b + c, rounded once.
inline __m128 fma_of_four(__m128 a, __m128 b, __m128 c) {
  const auto upper = [](__m128 x) { return _mm_cvtps_pd(_mm_movehl_ps(x, x)); };
  const __m128d low = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)),
                high = _mm_mul_pd(upper(a), upper(b));
  const __m128d low_c = _mm_cvtps_pd(c), high_c = upper(c);
  __m128d low_sum = _mm_add_pd(low, low_c), high_sum = _mm_add_pd(high, high_c);
  // It matters only where a sum lies halfway between two f32, or where those have fewer bits.
  const __m128 low_bits = _mm_castpd_ps(low_sum), high_bits = _mm_castpd_ps(high_sum);
  const __m128i tails = _mm_castps_si128(_mm_shuffle_ps(low_bits, high_bits, 0x88)),
                heads = _mm_castps_si128(_mm_shuffle_ps(low_bits, high_bits, 0xDD));
  const __m128i halfway =
      _mm_cmpeq_epi32(_mm_and_si128(tails, _mm_set1_epi32(0x1FFFFFFF)), _mm_set1_epi32(0x10000000));
  const __m128i small = _mm_cmpgt_epi32(_mm_set1_epi32((1023 - 125) << 20),
                                        _mm_and_si128(heads, _mm_set1_epi32(0x7FFFFFFF)));
  if (_mm_movemask_epi8(_mm_or_si128(halfway, small)) != 0) [[unlikely]] {
    low_sum = rounded_to_odd(low, low_c, low_sum);
    high_sum = rounded_to_odd(high, high_c, high_sum);
  }
  return _mm_movelh_ps(_mm_cvtpd_ps(low_sum), _mm_cvtpd_ps(high_sum));
}

}  // namespace detail
#endif

/// a * b + c, rounded once. xsimd 8.1 multiplies, then adds, on AVX-512 and on AVX2 without FMA3.
template <class A>
inline floats<A> fma(floats<A> a, floats<A> b, floats<A> c) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) return floats<A>(_mm512_fmadd_ps(a, b, c));
#endif
#if defined(__FMA__)
  if constexpr (lanes<A> == 8) return floats<A>(_mm256_fmadd_ps(a, b, c));
  if constexpr (lanes<A> == 4) return floats<A>(_mm_fmadd_ps(a, b, c));
#elif defined(__aarch64__)
  if constexpr (lanes<A> == 4) return floats<A>(vfmaq_f32(c, a, b));
#elif defined(__SSE2__)
  if constexpr (lanes<A> == 4) return floats<A>(detail::fma_of_four(a, b, c));
#endif
  alignas(64) float x[lanes<A>], y[lanes<A>], z[lanes<A>];
  a.store_aligned(x);
  b.store_aligned(y);
  c.store_aligned(z);
  for (std::size_t i = 0; i < lanes<A>; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return floats<A>::load_aligned(z);
}

/// a / b, rounded once. xsimd 8.1 has estimates of f32 quotients and roots on ARM.
template <class A>
inline floats<A> divide(floats<A> a, floats<A> b) {
#if defined(__aarch64__)
  return floats<A>(vdivq_f32(a, b));
#else
  return a / b;
#endif
}

/// The square root, rounded once.
template <class A>
inline floats<A> sqrt(floats<A> x) {
#if defined(__aarch64__)
  return floats<A>(vsqrtq_f32(x));
#else
  return xsimd::sqrt(x);
#endif
}

/// b unless a is greater: so x86 has it. ARM's own maximum has another opinion of NaN and of zeros.
template <class A>
inline floats<A> max(floats<A> a, floats<A> b) {
#if defined(__aarch64__)
  return xsimd::select(a > b, a, b);
#else
  return xsimd::max(a, b);
#endif
}

/// Lanes 2i and 2i + 1 change places.
template <class A>
inline floats<A> swap_neighbours(floats<A> x) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) return floats<A>(_mm512_permute_ps(x, 0xB1));
#endif
#if defined(__AVX__)
  if constexpr (lanes<A> == 8) return floats<A>(_mm256_permute_ps(x, 0xB1));
#endif
  alignas(64) float lane[lanes<A>];
  x.store_aligned(lane);
  for (std::size_t i = 0; i < lanes<A>; i += 2) std::swap(lane[i], lane[i + 1]);
  return floats<A>::load_aligned(lane);
}

/// Lane i is a[i] where bit i of `bits` is set and b[i] where it is not.
template <class A>
inline floats<A> blend(std::uint32_t bits, floats<A> a, floats<A> b) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return floats<A>(_mm512_mask_blend_ps(static_cast<__mmask16>(bits), b, a));
#endif
#if defined(__AVX2__)
  if constexpr (lanes<A> == 8) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i chosen =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
    return floats<A>(_mm256_blendv_ps(b, a, _mm256_castsi256_ps(chosen)));
  }
#endif
  alignas(64) float x[lanes<A>], y[lanes<A>];
  a.store_aligned(x);
  b.store_aligned(y);
  for (std::size_t i = 0; i < lanes<A>; ++i)
    if ((bits >> i & 1u) != 0) y[i] = x[i];
  return floats<A>::load_aligned(y);
}

// ---- exp ---------------------------------------------------------------------------------------

/// e^x; exactly 1 at 0 and exactly +0 at −∞ (and below −87). NaN stays NaN.
template <class A>
inline floats<A> exp(floats<A> x) {
  using namespace exp_constants;
  using ints [[maybe_unused]] = xsimd::batch<std::int32_t, A>;
  const floats<A> bounded = xsimd::min(broadcast<A>(highest), x);  // in this order NaN stays NaN
  const floats<A> shifted = fma<A>(bounded, broadcast<A>(log2_e), broadcast<A>(rounder));
  const floats<A> n = shifted - broadcast<A>(rounder);
  floats<A> r = fma<A>(n, broadcast<A>(-ln2_high), bounded);
  r = fma<A>(n, broadcast<A>(-ln2_low), r);
  floats<A> p = broadcast<A>(c5);
  p = fma<A>(p, r, broadcast<A>(c4));
  p = fma<A>(p, r, broadcast<A>(c3));
  p = fma<A>(p, r, broadcast<A>(c2));
  p = fma<A>(p, r, broadcast<A>(c1));
  p = fma<A>(p, r, broadcast<A>(1.0f));
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return floats<A>(
        _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(lowest), _CMP_NLT_UQ), p, n));
#endif
  // The low bits of `shifted` hold n; multiply by 2^n through the exponent field of 1.0.
  const ints scale = (bits_as<ints>(shifted) << 23) + ints(0x3F800000);
  p = p * bits_as<floats<A>>(scale);
  return xsimd::select(x < broadcast<A>(lowest), broadcast<A>(0.0f), p);
}

// ---- reductions over a fixed number of virtual lanes -------------------------------------------

/// Adds up one register by halving: lane i with lane i + n/2, until one is left.
template <class A>
inline float sum_halving(floats<A> x) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) {
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(x),
                      _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
  }
#endif
#if defined(__AVX__)
  if constexpr (lanes<A> == 8) {
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
  }
#endif
  alignas(64) float lane[lanes<A>];
  x.store_aligned(lane);
  for (std::size_t n = lanes<A> / 2; n > 0; n /= 2)
    for (std::size_t i = 0; i < n; ++i) lane[i] = lane[i] + lane[i + n];
  return lane[0];
}

/// The first steps of halving `Registers * lanes<A>` virtual lanes: until one register is left.
template <class A, std::size_t Registers>
inline floats<A> halve_registers(const floats<A> (&x)[Registers]) {
  static_assert((Registers & (Registers - 1)) == 0);
  floats<A> y[Registers];
  for (std::size_t i = 0; i < Registers; ++i) y[i] = x[i];
  for (std::size_t n = Registers / 2; n > 0; n /= 2)
    for (std::size_t i = 0; i < n; ++i) y[i] = y[i] + y[i + n];
  return y[0];
}

/// Adds up `Registers * lanes<A>` virtual lanes by halving: the same bits on every width.
template <class A, std::size_t Registers>
inline float sum_halving(const floats<A> (&x)[Registers]) {
  return sum_halving<A>(halve_registers<A>(x));
}

/// The largest lane. Order cannot matter: max is exact.
template <class A>
inline float max_lane(floats<A> x) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) return _mm512_reduce_max_ps(x);
#endif
  alignas(64) float lane[lanes<A>];
  x.store_aligned(lane);
  float m = lane[0];
  for (std::size_t i = 1; i < lanes<A>; ++i) m = m > lane[i] ? m : lane[i];
  return m;
}

}  // namespace weir::inline WEIR_TARGET::simd
