// Logarithms, exponentials and angles in f64 with the same bits everywhere.
//
// C libraries differ in the last bits of std::exp and its kin: from one to the next, between
// processors, and in glibc even with what one processor offers. Whatever decides what a stream
// remembers or says takes these instead. They are made of operations that IEEE 754 rounds in one
// way only; right within 1 ulp or so.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::elementary {

namespace detail {

/// c[0] + c[1] x + c[2] x² + …
template <std::size_t N>
double polynomial(const std::array<double, N>& c, double x) {
  double sum = c[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) sum = sum * x + c[i];
  return sum;
}

/// `N` coefficients, the i-th being f(i).
template <std::size_t N, class F>
constexpr std::array<double, N> coefficients(F f) {
  std::array<double, N> c{};
  for (std::size_t i = 0; i < N; ++i) c[i] = f(i);
  return c;
}
constexpr double factorial(std::size_t n) {
  return n < 2 ? 1 : static_cast<double>(n) * factorial(n - 1);
}

inline constexpr auto exp_terms =  // 1/2!, 1/3!, …
    coefficients<13>([](std::size_t i) { return 1 / factorial(i + 2); });
inline constexpr auto log_terms =  // 2/3, 2/5, …
    coefficients<11>([](std::size_t i) { return 2 / static_cast<double>(2 * i + 3); });
inline constexpr auto cos_terms =  // 1/4!, −1/6!, …
    coefficients<8>([](std::size_t i) { return (i % 2 == 0 ? 1 : -1) / factorial(2 * i + 4); });
inline constexpr auto sin_terms =  // −1/3!, 1/5!, …
    coefficients<9>([](std::size_t i) { return (i % 2 == 0 ? -1 : 1) / factorial(2 * i + 3); });

}  // namespace detail

// log 2 in two parts, of which the first has 32 zeros at the end: few times it is exact.
inline constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;

/// e^x. 0 at −∞, infinity where it overflows, NaN for NaN; exactly 1 at 0.
inline double exp(double x) {
  if (!(x > -746)) return x != x ? x : 0;
  if (x > 710) return std::numeric_limits<double>::infinity();
  // x = n log 2 + r, |r| ≤ log 2 / 2, r = high − low; e^r = 1 + high + (r² (1/2! + r/3! + …) −
  // low).
  constexpr double rounder = 0x1.8p+52;
  const double n = (x * std::numbers::log2e + rounder) - rounder;
  const double high = x - n * ln2_high, low = n * ln2_low, r = high - low;
  const double p = 1 + (high + (detail::polynomial(detail::exp_terms, r) * r * r - low));
  const int power = static_cast<int>(n);
  if (power < -1021 || power > 1023) return std::ldexp(p, power);
  return p * std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
}

/// The natural logarithm. −∞ at 0, NaN below it and for NaN.
inline double log(double x) {
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

/// base^exponent for a positive base, within a few ulp more for each power of e.
inline double pow(double base, double exponent) { return exp(exponent * log(base)); }

/// Cosine and sine of an angle of at most a quarter of π.
inline std::pair<double, double> cos_sin_near_0(double x) {
  const double z = x * x;
  return {1 - (0.5 * z - z * z * detail::polynomial(detail::cos_terms, z)),
          x + x * (z * detail::polynomial(detail::sin_terms, z))};
}

namespace detail {
/// The same, a quarter of a turn further for each of `quarters`.
inline std::pair<double, double> turned(std::pair<double, double> cos_sin, std::uint64_t quarters) {
  const auto [c, s] = cos_sin;
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

/// Cosine and sine of `phase` / 2^64 turns.
inline std::pair<double, double> cos_sin_of_turn(std::uint64_t phase) {
  constexpr double unit = 2 * std::numbers::pi * 0x1p-64;
  const std::uint64_t eighth = std::uint64_t{1} << 61, quarters = (phase + eighth) >> 62;
  const auto rest = static_cast<std::int64_t>(phase - (quarters << 62));  // in [−1/8, 1/8) turns
  return detail::turned(cos_sin_near_0(static_cast<double>(rest) * unit), quarters);
}

/// Cosine and sine of `x` radians; absolute errors grow as |x| 2^−53 does. |x| below 2^40.
inline std::pair<double, double> cos_sin(double x) {
  // π/2 in three parts, of which the first two have zeros at the end.
  constexpr double high = 0x1.921fb544p+0, middle = 0x1.0b4611a6p-34, low = 0x1.3198a2e037073p-69;
  constexpr double rounder = 0x1.8p+52;
  const double n = (x * (2 / std::numbers::pi) + rounder) - rounder;
  const double r = ((x - n * high) - n * middle) - n * low;
  return detail::turned(cos_sin_near_0(r),
                        static_cast<std::uint64_t>(static_cast<std::int64_t>(n)));
}

}  // namespace weir::inline WEIR_TARGET::elementary
