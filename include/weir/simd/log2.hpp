// The base-2 logarithm of f32, for noise: right to 2e-6 of itself, with the same bits on every
// width.
//
// x = 2^e · (1 + f) with 1 + f in [√½, √2), and log2 x = e + f · p(f), p minimax for relative
// error, so that the logarithms of numbers near 1 are as right as the others.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include <weir/core/target.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

namespace log2_constants {
inline constexpr float p[] = {0.1716245412826538f,  -0.2693203091621399f, 0.2956995666027069f,
                              -0.3593716323375702f, 0.4806267619132996f,  -0.7213636040687561f,
                              1.442696452140808f};
inline constexpr std::int32_t sqrt_half = 0x3F3504F3;  // bits
}  // namespace log2_constants

/// Replaces numbers by their logarithms. They are positive, normal and finite. Several registers
/// take little longer than one, as each waits for its own results.
template <class A, std::size_t Registers>
inline void log2(floats<A> (&x)[Registers]) {
  using namespace log2_constants;
  floats<A> e[Registers], f[Registers], y[Registers];
  for (std::size_t i = 0; i < Registers; ++i) {
    const ints<A> above = bits_as<ints<A>>(x[i]) - ints<A>(sqrt_half);
    e[i] = xsimd::to_float(above >> 23);
    const ints<A> mantissa = (above & ints<A>(0x007FFFFF)) + ints<A>(sqrt_half);
    f[i] = bits_as<floats<A>>(mantissa) - broadcast<A>(1.0f);
    y[i] = broadcast<A>(p[0]);
  }
  for (std::size_t k = 1; k < std::size(p); ++k)
    for (std::size_t i = 0; i < Registers; ++i) y[i] = fma<A>(y[i], f[i], broadcast<A>(p[k]));
  for (std::size_t i = 0; i < Registers; ++i) x[i] = fma<A>(y[i], f[i], e[i]);
}

/// The same function for one value: the same operations, so the same bits as any lane.
inline float log2(float x) {
  using namespace log2_constants;
  const std::int32_t above = std::bit_cast<std::int32_t>(x) - sqrt_half;
  const float f = std::bit_cast<float>((above & 0x007FFFFF) + sqrt_half) - 1.0f;
  float y = p[0];
  for (std::size_t k = 1; k < std::size(p); ++k) y = std::fma(y, f, p[k]);
  return std::fma(y, f, static_cast<float>(above >> 23));
}

}  // namespace weir::inline WEIR_TARGET::simd
