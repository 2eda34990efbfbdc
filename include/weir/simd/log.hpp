// The natural logarithm of f32, with the same bits on every width.
//
// x = 2^e · (1 + f) with 1 + f in [√½, √2), and log x = e ln 2 + f − f²/2 + f³ p(f); p is that of
// the Cephes library (S. L. Moshier), ln 2 comes in two steps (Cody & Waite). Within 0.8 ulp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::simd {

namespace log_constants {
inline constexpr float p[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
inline constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
inline constexpr std::int32_t sqrt_half = 0x3F3504F3;  // bits
inline constexpr float smallest_normal = 0x1p-126f,
                       infinity = std::numeric_limits<float>::infinity();
}  // namespace log_constants

/// x becomes log(x · 2^−shift), for numbers that are positive, normal and finite: half the work of
/// `log`. Several registers take little longer than one, as each waits for its own results.
template <class A, std::size_t Registers>
inline void log_normal(floats<A> (&x)[Registers], floats<A> shift = broadcast<A>(0.0f)) {
  using namespace log_constants;
  floats<A> e[Registers], f[Registers], square[Registers], y[Registers];
  for (std::size_t i = 0; i < Registers; ++i) {
    const ints<A> above = xsimd::bitwise_cast<ints<A>>(x[i]) - ints<A>(sqrt_half);
    e[i] = xsimd::to_float(above >> 23) - shift;
    const ints<A> mantissa = (above & ints<A>(0x007FFFFF)) + ints<A>(sqrt_half);
    f[i] = xsimd::bitwise_cast<floats<A>>(mantissa) - broadcast<A>(1.0f);
    square[i] = f[i] * f[i];
  }
  for (std::size_t i = 0; i < Registers; ++i) {
    const auto pair = [&](std::size_t k) {
      return fma<A>(broadcast<A>(p[k]), f[i], broadcast<A>(p[k + 1]));
    };
    const floats<A> high = fma<A>(broadcast<A>(p[0]), square[i], pair(1));
    y[i] = fma<A>(fma<A>(high, square[i], pair(3)), square[i] * square[i],
                  fma<A>(pair(5), square[i], pair(7)));
  }
  for (std::size_t i = 0; i < Registers; ++i) {
    y[i] = fma<A>(e[i], broadcast<A>(ln2_low), y[i] * f[i] * square[i]);
    y[i] = fma<A>(square[i], broadcast<A>(-0.5f), y[i]);
    x[i] = fma<A>(e[i], broadcast<A>(ln2_high), f[i] + y[i]);
  }
}

/// log x; −∞ at 0 of either sign, NaN below it.
template <class A>
inline floats<A> log(floats<A> x) {
  using namespace log_constants;
  const auto subnormal = x < broadcast<A>(smallest_normal);
  floats<A> normal[] = {xsimd::select(subnormal, x * broadcast<A>(0x1p23f), x)};
  log_normal<A>(normal, xsimd::select(subnormal, broadcast<A>(23.0f), broadcast<A>(0.0f)));
  floats<A> y = xsimd::select(x < broadcast<A>(infinity), normal[0], x);  // NaN is not below ∞
  y = xsimd::select(x == broadcast<A>(0.0f), broadcast<A>(-infinity), y);
  return xsimd::select(x < broadcast<A>(0.0f),
                       broadcast<A>(std::numeric_limits<float>::quiet_NaN()), y);
}

/// The same function for one value: the same operations, so the same bits as any lane.
inline float log(float x) {
  using namespace log_constants;
  if (x == 0) return -infinity;
  if (x < 0) return std::numeric_limits<float>::quiet_NaN();
  if (!(x < infinity)) return x;
  const bool subnormal = x < smallest_normal;
  const auto above = std::bit_cast<std::int32_t>(subnormal ? x * 0x1p23f : x) - sqrt_half;
  const float e = static_cast<float>(above >> 23) - (subnormal ? 23.0f : 0.0f);
  const float f = std::bit_cast<float>((above & 0x007FFFFF) + sqrt_half) - 1.0f;
  const float square = f * f;
  const auto pair = [f](std::size_t k) { return std::fma(p[k], f, p[k + 1]); };
  const float high = std::fma(std::fma(p[0], square, pair(1)), square, pair(3));
  float y = std::fma(high, square * square, std::fma(pair(5), square, pair(7)));
  y = std::fma(e, ln2_low, y * f * square);
  y = std::fma(square, -0.5f, y);
  return std::fma(e, ln2_high, f + y);
}

}  // namespace weir::simd
