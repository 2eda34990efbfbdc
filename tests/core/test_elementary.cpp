// Functions with the same bits everywhere: against the C library's, in more bits where it has them,
// and against bits worked out in decimal.
#include <weir/core/double_double.hpp>
#include <weir/core/elementary.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

#include <weir/core/philox.hpp>

#include "support/catch.hpp"

namespace {

namespace elementary = weir::elementary;
constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// How far `x` is from `exact`, in units of the last place.
double ulps(double x, long double exact) {
  const auto magnitude = static_cast<double>(std::fabs(exact));
  const double ulp = std::nextafter(magnitude, infinity) - magnitude;
  return static_cast<double>(std::fabs(static_cast<long double>(x) - exact)) / ulp;
}

/// Uniform on [low, high).
double random(double low, double high, std::uint64_t i) {
  return low + (high - low) * weir::random_source{7, 0}.uniform(weir::purpose::trials, i);
}

}  // namespace

TEST_CASE("exponentials are right to one unit in the last place") {
  for (std::uint64_t i = 0; i < 50'000; ++i)
    for (const double x : {random(-708, 709, i), random(-1, 1, i)})
      REQUIRE(ulps(elementary::exp(x), std::exp(static_cast<long double>(x))) < 1.1);
  for (const double x : {-744.0, -730.5, -709.2})  // subnormal
    CHECK(ulps(elementary::exp(x), std::exp(static_cast<long double>(x))) <= 1);
  CHECK(elementary::exp(0) == 1);
  CHECK(elementary::exp(-0.0) == 1);
  CHECK(elementary::exp(-infinity) == 0);
  CHECK(elementary::exp(-800) == 0);
  CHECK(elementary::exp(infinity) == infinity);
  CHECK(elementary::exp(710) == infinity);
  CHECK(std::isnan(elementary::exp(not_a_number)));
}

TEST_CASE("logarithms are right to one unit in the last place") {
  for (std::uint64_t i = 0; i < 50'000; ++i)
    for (const double x : {elementary::exp(random(-700, 700, i)), random(.5, 2, i)})
      REQUIRE(ulps(elementary::log(x), std::log(static_cast<long double>(x))) < 1.1);
  for (const double x : {5e-324, 1e-310, 0x1p-1022, std::numeric_limits<double>::max()})
    CHECK(ulps(elementary::log(x), std::log(static_cast<long double>(x))) <= 1);
  CHECK(elementary::log(1) == 0);
  CHECK(elementary::log(0) == -infinity);
  CHECK(elementary::log(infinity) == infinity);
  CHECK(std::isnan(elementary::log(-1)));
  CHECK(std::isnan(elementary::log(not_a_number)));
}

TEST_CASE("powers are right to as many units as the exponent asks for") {
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    const double y = random(-2, 1, i);
    REQUIRE(ulps(elementary::pow(10000, y), std::pow(10000.0L, static_cast<long double>(y))) < 40);
  }
}

TEST_CASE("angles are right to two units in the last place of 1") {
  const auto close = [](double x, long double exact) {
    return std::fabs(static_cast<long double>(x) - exact) <= 2 * 0x1p-53L;
  };
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    const double x = random(-100, 100, i);
    const auto [c, s] = elementary::cos_sin(x);
    REQUIRE(close(c, std::cos(static_cast<long double>(x))));
    REQUIRE(close(s, std::sin(static_cast<long double>(x))));
    const std::uint64_t phase = weir::random_source{8, 0}.bits(weir::purpose::trials, i);
    const long double angle = static_cast<long double>(static_cast<std::int64_t>(phase)) *
                              (2 * std::numbers::pi_v<long double> * 0x1p-64L);
    const auto [turned_c, turned_s] = elementary::cos_sin_of_turn(phase);
    REQUIRE(close(turned_c, std::cos(angle)));
    REQUIRE(close(turned_s, std::sin(angle)));
  }
  // Whole quarters.
  const std::pair<double, double> quarters[] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  for (std::uint64_t q = 0; q < 4; ++q) {
    const auto [c, s] = elementary::cos_sin_of_turn(q << 62);
    CHECK(std::pair(c, s) == quarters[q]);
  }
}

TEST_CASE("angles are small where turns are few") {
  // sin x = x where x³ is lost.
  for (const std::uint64_t phase : {1ull, 77ull, 1ull << 30})
    CHECK(ulps(elementary::cos_sin_of_turn(phase).sin,
               static_cast<long double>(phase) *
                   (2 * std::numbers::pi_v<long double> * 0x1p-64L)) <= 1);
}

TEST_CASE("sums of two numbers hold 100 bits") {
  using weir::double_double;
  const auto is = [](double_double x, double high, double low) {
    return x.high == high && std::fabs(x.low - low) <= std::fabs(high) * 0x1p-100;
  };
  // e, log 10 and 1/3, worked out in decimal.
  CHECK(is(weir::exp(double_double{1}), 0x1.5bf0a8b145769p+1, 0x1.4d57ee2b1013ap-53));
  CHECK(is(weir::log(double_double{10}), 0x1.26bb1bbb55516p+1, -0x1.f48ad494ea3e9p-53));
  CHECK(is(double_double{1} / 3, 0x1.5555555555555p-2, 0x1.5555555555555p-56));
  CHECK(is(weir::log(weir::exp(double_double{-7.25})), -7.25, 0));
  CHECK(is(double_double{0x1p60} + double_double{1}, 0x1p60, 1));
}

TEST_CASE("fractions are of 2^64, wherever the whole part ends") {
  using weir::double_double, weir::fraction_of_2_64;
  CHECK(fraction_of_2_64({0.5}) == std::uint64_t{1} << 63);
  CHECK(fraction_of_2_64({1234.25}) == std::uint64_t{1} << 62);
  CHECK(fraction_of_2_64({1, 0x1p-64}) == 1);
  CHECK(fraction_of_2_64({1, -0x1p-64}) == ~std::uint64_t{0});
  CHECK(fraction_of_2_64({0x1p-64}) == 1);
  CHECK(fraction_of_2_64({0x1p-70}) == 0);
}
