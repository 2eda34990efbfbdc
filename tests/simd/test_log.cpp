#include <weir/simd/log.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "support/arches.hpp"
#include "support/catch.hpp"

namespace simd = weir::simd;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

template <class A>
std::vector<float> log_of(std::vector<float> x) {
  constexpr std::size_t lanes = simd::lanes<A>;
  const std::size_t n = x.size();
  x.resize((n + lanes - 1) / lanes * lanes);
  for (std::size_t i = 0; i < x.size(); i += lanes)
    simd::store<A>(&x[i], simd::log<A>(simd::load<A>(&x[i])));
  x.resize(n);
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("log is exact where it must be", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {1.0f, 0.0f, -0.0f, infinity, -1.0f, -infinity, nan};
  const auto y = log_of<TestType>(x);
  CHECK(bits(y[0]) == bits(0.0f));
  CHECK(y[1] == -infinity);
  CHECK(y[2] == -infinity);
  CHECK(y[3] == infinity);
  for (std::size_t i = 4; i < 7; ++i) CHECK(std::isnan(y[i]));
  for (std::size_t i = 0; i < 4; ++i) CHECK(bits(y[i]) == bits(simd::log(x[i])));
  for (std::size_t i = 4; i < 7; ++i) CHECK(std::isnan(simd::log(x[i])));
}

TEMPLATE_TEST_CASE("log has the bits of its plain form and is right to 0.85 ulp over all exponents",
                   "", weir_test::native, weir_test::avx2, weir_test::sse2) {
  std::vector<float> x;
  for (std::uint32_t b = 1; b < 0x7F800000u; b += 3001) x.push_back(std::bit_cast<float>(b));
  for (std::uint32_t i = 0; i < 20'000; ++i) {  // near 1, where the logarithm is small
    x.push_back(std::bit_cast<float>(0x3F800000u - i));
    x.push_back(std::bit_cast<float>(0x3F800000u + i));
  }
  const auto y = log_of<TestType>(x);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE(bits(y[i]) == bits(simd::log(x[i])));
    const double exact = std::log(double{x[i]});
    const auto rounded = static_cast<float>(std::fabs(exact));
    const double ulp = double{std::nextafter(rounded, infinity)} - double{rounded};
    worst = std::fmax(worst, std::fabs(y[i] - exact) / ulp);
  }
  CHECK(worst <= 0.85);
}

TEMPLATE_TEST_CASE("log of a normal number is that of any number", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  for (std::uint32_t b = 0x00800000u; b < 0x7F000000u; b += 1'000'003) {
    float x[3 * lanes], y[lanes];
    simd::floats<TestType> registers[3];
    for (std::uint32_t l = 0; l < 3 * lanes; ++l) x[l] = std::bit_cast<float>(b + 77 * l);
    for (std::size_t r = 0; r < 3; ++r) registers[r] = simd::load<TestType>(x + r * lanes);
    simd::log_normal<TestType>(registers);
    for (std::size_t r = 0; r < 3; ++r) {
      simd::store<TestType>(y, registers[r]);
      for (std::size_t l = 0; l < lanes; ++l)
        REQUIRE(bits(y[l]) == bits(simd::log(x[r * lanes + l])));
    }
  }
}
