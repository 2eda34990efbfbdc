// Bodies of core/elementary.hpp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::elementary {

WEIR_INLINE double exp(double x) {
  if (!(x > -746)) return x != x ? x : 0;
  if (x > 710) return std::numeric_limits<double>::infinity();
  // x = n log 2 + r with |r| ≤ log 2 / 2 and r = high − low; e^r = 1 + r + r² (1/2! + r/3! + …).
  constexpr double rounder = 0x1.8p+52;
  const double n = (x * std::numbers::log2e + rounder) - rounder;
  const double high = x - n * ln2_high, low = n * ln2_low, r = high - low;
  const double p = 1 + (high + (detail::polynomial(detail::exp_terms, r) * r * r - low));
  const int power = static_cast<int>(n);
  if (power < -1021 || power > 1023) return std::ldexp(p, power);
  return p * std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
}

WEIR_INLINE double log(double x) {
  if (!(x > 0))
    return x == 0 ? -std::numeric_limits<double>::infinity()
                  : std::numeric_limits<double>::quiet_NaN();
  if (x > std::numeric_limits<double>::max()) return x;
  // x = 2^e (1 + f) with 1 + f in [√½, √2). log(1 + f) = 2 artanh s, s = f / (2 + f), written as
  // f − (f²/2 − s (f²/2 + R)), R = 2 (s²/3 + s⁴/5 + …), so that f is what counts.
  int e = 0;
  double m = std::frexp(x, &e);
  if (m < 0x1.6a09e667f3bcdp-1) m *= 2, --e;
  const double f = m - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f;
  const double series = detail::polynomial(detail::log_terms, z) * z;
  return e * ln2_high - ((half - (s * (half + series) + e * ln2_low)) - f);
}

WEIR_INLINE cosine_and_sine cos_sin_near_0(double x) {
  const double z = x * x;
  return {1 - (0.5 * z - z * z * detail::polynomial(detail::cos_terms, z)),
          x + x * (z * detail::polynomial(detail::sin_terms, z))};
}

namespace detail {

WEIR_INLINE cosine_and_sine turned(cosine_and_sine angle, std::uint64_t quarters) {
  const auto [c, s] = angle;
  switch (quarters % 4) {
    case 0:
      return {c, s};
    case 1:
      return {-s, c};
    case 2:
      return {-c, -s};
    default:
      return {s, -c};
  }
}

}  // namespace detail

WEIR_INLINE cosine_and_sine cos_sin_of_turn(std::uint64_t phase) {
  constexpr double unit = 2 * std::numbers::pi * 0x1p-64;
  const std::uint64_t eighth = std::uint64_t{1} << 61, quarters = (phase + eighth) >> 62;
  const auto rest = static_cast<std::int64_t>(phase - (quarters << 62));  // in [−1/8, 1/8) turns
  return detail::turned(cos_sin_near_0(static_cast<double>(rest) * unit), quarters);
}

WEIR_INLINE cosine_and_sine cos_sin(double x) {
  // π/2 in three parts, of which the first two have zeros at the end.
  constexpr double high = 0x1.921fb544p+0, middle = 0x1.0b4611a6p-34, low = 0x1.3198a2e037073p-69;
  constexpr double rounder = 0x1.8p+52;
  const double n = (x * (2 / std::numbers::pi) + rounder) - rounder;
  const double r = ((x - n * high) - n * middle) - n * low;
  return detail::turned(cos_sin_near_0(r),
                        static_cast<std::uint64_t>(static_cast<std::int64_t>(n)));
}

}  // namespace weir::inline WEIR_TARGET::elementary
