// Rounding registers of f32 to 16 bits, to the bits that core/half.hpp says. In integers, so that
// it is the same on every architecture.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// A 16-bit number's bits where its exponent is all ones: infinity; NaNs lie above.
template <class T>
inline constexpr std::int32_t infinity_bits = 0x7F80;  // bf16
template <>
inline constexpr std::int32_t infinity_bits<f16> = 0x7C00;

/// All ones in lanes where a < b. Neither is negative.
template <class A>
inline ints<A> is_less(ints<A> a, ints<A> b) {
  return (a - b) >> 31;
}
/// x in lanes whose mask is all ones, y where it is 0. xsimd 8.1's own does not compile for
/// integers on AVX-512 unless the compiler optimises.
template <class A>
inline ints<A> select(ints<A> mask, ints<A> x, ints<A> y) {
  return y ^ ((x ^ y) & mask);
}

/// The bits of `round_to<T>(x)`, one number a lane.
template <class T, class A>
inline ints<A> rounded_bits(floats<A> x) {
  const auto number = [](std::int32_t n) { return ints<A>(n); };
  const ints<A> bits = bits_as<ints<A>>(x);
  const ints<A> magnitude = bits & number(0x7FFFFFFF), sign = (bits >> 16) & number(0x8000);
  if constexpr (std::is_same_v<T, bf16>) {
    const ints<A> rounded = (magnitude + number(0x7FFF) + ((magnitude >> 16) & number(1))) >> 16;
    const ints<A> nan = (magnitude >> 16) | number(0x40);
    return sign | select<A>(is_less<A>(number(0x7F800000), magnitude), nan, rounded);
  } else {
    // Below 2^−14 an f32 addition rounds at 2^−24.
    const auto half = broadcast<A>(0.5f);
    const ints<A> small =
        bits_as<ints<A>>(bits_as<floats<A>>(magnitude) + half) - bits_as<ints<A>>(half);
    const ints<A> usual =
        (magnitude + number(0xFFF - 0x38000000) + ((magnitude >> 13) & number(1))) >> 13;
    const ints<A> nan = number(0x7E00) | ((magnitude >> 13) & number(0x1FF));
    ints<A> out = select<A>(is_less<A>(magnitude, number(0x38800000)), small, usual);
    out = select<A>(is_less<A>(magnitude, number(0x477FF000)), out, number(0x7C00));
    return sign | select<A>(is_less<A>(number(0x7F800000), magnitude), nan, out);
  }
}

/// The numbers with these bits, of which the upper 16 are 0. Exact; a NaN is some NaN.
template <class T, class A>
inline floats<A> number_of_bits(ints<A> bits) {
  if constexpr (std::is_same_v<T, bf16>) {
    return bits_as<floats<A>>(bits << 16);
  } else {
    const ints<A> magnitude = bits & ints<A>(0x7FFF), sign = (bits & ints<A>(0x8000)) << 16;
    // Read as an f32 it is 2^112 times too small, which a product mends, subnormal numbers too.
    const ints<A> finite =
        bits_as<ints<A>>(bits_as<floats<A>>(magnitude << 13) * broadcast<A>(0x1p112f));
    const ints<A> other = (magnitude << 13) | ints<A>(0x7F800000);
    return bits_as<floats<A>>(
        sign | select<A>(is_less<A>(magnitude, ints<A>(infinity_bits<f16>)), finite, other));
  }
}

/// Writes the low 16 bits of each lane.
template <class A, class T>
inline void store_bits(T* p, ints<A> bits) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bits));
#endif
  alignas(64) std::int32_t wide[lanes<A>];
  bits.store_aligned(wide);
  for (std::size_t i = 0; i < lanes<A>; ++i) p[i] = {static_cast<std::uint16_t>(wide[i])};
}

/// out[i] = round_to<T>(x[i]). O(n).
template <class A, class T>
inline void round_all(const float* x, std::size_t n, T* out) {
  std::size_t i = 0;
  for (; i + lanes<A> <= n; i += lanes<A>)
    store_bits<A>(out + i, rounded_bits<T, A>(load<A>(x + i)));
  for (; i < n; ++i) out[i] = round_to<T>(x[i]);
}
template <class A>
inline void round_all(const float* x, std::size_t n, float* out) {
  std::copy_n(x, n, out);
}

}  // namespace weir::inline WEIR_TARGET::simd
