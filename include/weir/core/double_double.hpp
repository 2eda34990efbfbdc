// Numbers of about 106 bits as sums of two f64, with the same bits everywhere. For constants that
// are worked out once, such as the speeds at which positions turn: C libraries offer less on some
// processors (long double has 53, 64 or 113 bits).
// Dekker, "A Floating-Point Technique for Extending the Available Precision", 1971.
#pragma once

#include <cmath>
#include <cstdint>

#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// high + low, where high is what the sum rounds to.
struct double_double {
  double high = 0, low = 0;

  /// The sum of any two numbers.
  static double_double sum(double a, double b) {
    const double s = a + b, from_b = s - a;
    return {s, (a - (s - from_b)) + (b - from_b)};
  }

  friend double_double operator+(double_double a, double_double b) {
    const double_double s = sum(a.high, b.high);
    return sum(s.high, s.low + (a.low + b.low));
  }
  friend double_double operator-(double_double a) { return {-a.high, -a.low}; }
  friend double_double operator*(double_double a, double_double b) {
    const double p = a.high * b.high;
    return sum(p, std::fma(a.high, b.high, -p) + (a.high * b.low + a.low * b.high));
  }
  friend double_double operator/(double_double a, double b) {
    const double q = a.high / b;
    return sum(q, (std::fma(-q, b, a.high) + a.low) / b);
  }
};

inline constexpr double_double two_pi{0x1.921fb54442d18p+2, 0x1.1a62633145c07p-52};

/// e^x for |x| below 700.
inline double_double exp(double_double x) {
  constexpr double_double ln2{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
  const double n = std::nearbyint(x.high / ln2.high);
  const double_double r = x + double_double{-n} * ln2;
  double_double sum{1};  // 1 + r (1 + r/2 (1 + r/3 (…
  for (int k = 26; k > 0; --k) sum = double_double{1} + r * sum / k;
  const int power = static_cast<int>(n);
  return {std::ldexp(sum.high, power), std::ldexp(sum.low, power)};
}

/// The natural logarithm of a positive number.
inline double_double log(double_double x) {
  // One step of Newton's from a logarithm that is right to 53 bits.
  const double first = elementary::log(x.high);
  return double_double{first} + (x * exp(double_double{-first}) + double_double{-1});
}

/// x mod 1 in units of 2^−64, to the nearest, for 0 ≤ x < 2^52.
inline std::uint64_t fraction_of_2_64(double_double x) {
  const double_double part = x + double_double{-std::floor(x.high)};  // the low part may be below 0
  const double upper = std::floor(part.high * 0x1p32);
  const double_double rest = (part + double_double{upper * -0x1p-32}) * double_double{0x1p64};
  // upper may be −1 and |rest| < 2^33 or so: wrapping around is what mod 1 does.
  const auto wrapped = [](double whole) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(whole));
  };
  return (wrapped(upper) << 32) + wrapped(std::nearbyint(rest.high));
}

}  // namespace weir::inline WEIR_TARGET
