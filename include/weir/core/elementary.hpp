// Logarithms, exponentials and angles in f64 with the same bits everywhere.
//
// C libraries differ in the last bits of std::exp and its kin: from one to the next, between
// processors, and in glibc even with what one processor offers. Whatever decides what a stream
// remembers or says takes these instead. They are made of operations that IEEE 754 rounds in one
// way only; right within 1 ulp or so.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

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
double exp(double x);

/// The natural logarithm. −∞ at 0, NaN below it and for NaN.
double log(double x);

/// base^exponent for a positive base, within a few ulp more for each power of e.
inline double pow(double base, double exponent) { return exp(exponent * log(base)); }

/// Of one angle.
struct cosine_and_sine {
  double cos, sin;
};

/// Cosine and sine of an angle of at most a quarter of π.
cosine_and_sine cos_sin_near_0(double x);

namespace detail {
/// The same, a quarter of a turn further for each of `quarters`.
cosine_and_sine turned(cosine_and_sine angle, std::uint64_t quarters);
}  // namespace detail

/// Cosine and sine of `phase` / 2^64 turns.
cosine_and_sine cos_sin_of_turn(std::uint64_t phase);

/// Cosine and sine of `x` radians; absolute errors grow as |x| 2^−53 does. |x| below 2^40.
cosine_and_sine cos_sin(double x);

}  // namespace weir::inline WEIR_TARGET::elementary

#if !WEIR_DECLARED_ONLY
#include <weir/core/elementary.inl.hpp>
#endif
