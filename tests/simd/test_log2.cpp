#include <weir/simd/log2.hpp>

#include <bit>
#include <cmath>
#include <cstdint>

#include "support/arches.hpp"
#include "support/catch.hpp"

namespace simd = weir::simd;

TEMPLATE_TEST_CASE("log2 has the bits of its plain form, and is right to 2e-6 of itself", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  double worst = 0;
  const auto check = [&](std::uint32_t first, std::uint32_t step) {
    float x[3 * lanes], y[lanes];
    simd::floats<TestType> registers[3];
    for (std::uint32_t l = 0; l < 3 * lanes; ++l) x[l] = std::bit_cast<float>(first + step * l);
    for (std::size_t r = 0; r < 3; ++r) registers[r] = simd::load<TestType>(x + r * lanes);
    simd::log2<TestType>(registers);
    for (std::size_t r = 0; r < 3; ++r) {
      simd::store<TestType>(y, registers[r]);
      for (std::size_t l = 0; l < lanes; ++l) {
        const float from = x[r * lanes + l];
        REQUIRE(std::bit_cast<std::uint32_t>(y[l]) ==
                std::bit_cast<std::uint32_t>(simd::log2(from)));
        const double exact = std::log2(double{from});
        if (exact == 0)
          REQUIRE(y[l] == 0.0f);
        else
          worst = std::fmax(worst, std::fabs(y[l] / exact - 1));
      }
    }
  };
  for (std::uint32_t b = 0x00800000u; b < 0x7F000000u; b += 1'000'003) check(b, 77);
  for (std::uint32_t i = 0; i < 20'000; ++i) check(0x3F800000u - 20 * i, 1);  // below 1
  check(0x3F800000u, 1);
  CHECK(worst <= 2e-6);
}
