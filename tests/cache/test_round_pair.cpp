// Rounding a RoPE pair: one of the four neighbours, the best by the stated measure, and nothing
// clever about what is not finite.
#include <weir/kernels/cpu/round_pair.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <weir/testing/probe_tokens.hpp>
#include "support/catch.hpp"

namespace {

template <class T>
void expect_each_by_itself(float x, float y) {
  const auto [a, b] = weir::round_pair<T>(x, y);
  CHECK(a == weir::round_to<T>(x));
  CHECK(b == weir::round_to<T>(y));
}

}  // namespace

TEMPLATE_TEST_CASE("what rounds to infinity or NaN leaves its partner alone", "", weir::f16,
                   weir::bf16) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float huge = std::numeric_limits<float>::max();
  for (const float bad : {inf, -inf, nan, -nan, huge, -huge})
    for (const float good : {0.0f, 1.0f, -0.1f, 1e-30f, inf, nan}) {
      expect_each_by_itself<TestType>(bad, good);
      expect_each_by_itself<TestType>(good, bad);
    }
}

TEMPLATE_TEST_CASE("what storage holds exactly stays", "", weir::f16, weir::bf16) {
  for (const float x : {0.0f, -0.0f, 1.0f, -1.5f, 0x1p-14f, 96.0f})
    for (const float y : {0.0f, -0.0f, 0.5f, -2.0f}) expect_each_by_itself<TestType>(x, y);
}

TEMPLATE_TEST_CASE("no pair of neighbours has less error", "", weir::f16, weir::bf16) {
  weir::testing::dice random{7};
  for (int round = 0; round < 20000; ++round) {
    const auto number = [&] {
      const double u = static_cast<double>(random.next() >> 11) * 0x1p-53;
      return static_cast<float>((u - 0.5) * std::exp2(static_cast<double>(random.within(0, 14))));
    };
    const float x = number(), y = number();
    const auto error = [&](TestType a, TestType b) {
      const double ex = double{weir::to_float(a)} - double{x},
                   ey = double{weir::to_float(b)} - double{y};
      const double along = ex * double{x} + ey * double{y},
                   across = ex * double{y} - ey * double{x};
      return along * along + 2 * across * across;
    };
    const auto [a, b] = weir::round_pair<TestType>(x, y);
    const double least = error(a, b);
    for (const int da : {-1, 0, 1})
      for (const int db : {-1, 0, 1}) {
        const auto moved = [](TestType t, int d) {
          return TestType{static_cast<std::uint16_t>(t.bits + d)};
        };
        // Neighbours of the result that lie on either side of what was rounded.
        const TestType u = moved(a, da), w = moved(b, db);
        if (a.bits == 0 || b.bits == 0 || (a.bits & 0x7FFF) == 0 || (b.bits & 0x7FFF) == 0)
          continue;
        REQUIRE(least <= error(u, w) * (1 + 1e-5));
      }
  }
}

TEMPLATE_TEST_CASE("many pairs at once are rounded as one by one", "", weir::f16, weir::bf16) {
  weir::testing::dice random{11};
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const float odd[] = {0.0f,     -0.0f,      inf,          -inf,      nan,
                       -nan,     0x1p-14f,   -0x1p-24f,    0x1p-25f,  65504.0f,
                       65519.0f, 65520.0f,   -65536.0f,    0x1p-149f, 0x1p-126f,
                       3e38f,    0x1.8p-15f, 0x1.ffep-15f, 1.0f,      -1e-7f};
  for (int round = 0; round < 2000; ++round) {
    const auto n = static_cast<std::size_t>(random.within(0, 70));
    std::vector<float> x(n), y(n);
    for (auto* const v : {&x, &y})
      for (float& number : *v)
        number = random.within(0, 3) == 0
                     ? odd[random.within(0, std::size(odd) - 1)]
                     : std::bit_cast<float>(static_cast<std::uint32_t>(random.next() >> 32));
    // Numbers of like size, most of which lie within the range.
    if (round % 2 == 0)
      for (auto* const v : {&x, &y})
        for (float& number : *v)
          number = std::ldexp(
              std::bit_cast<float>(0x3F800000u | static_cast<std::uint32_t>(random.next() >> 41)),
              static_cast<int>(random.within(0, 50)) - 30);
    std::vector<TestType> a(n), b(n), each(n);
    weir::round_pairs<weir::simd::native>(x.data(), y.data(), n, a.data(), b.data());
    weir::simd::round_all<weir::simd::native>(x.data(), n, each.data());
    for (std::size_t i = 0; i < n; ++i) {
      INFO(x[i] << ' ' << y[i]);
      const auto [u, w] = weir::round_pair<TestType>(x[i], y[i]);
      REQUIRE(a[i] == u);
      REQUIRE(b[i] == w);
      REQUIRE(each[i] == weir::round_to<TestType>(x[i]));
    }
  }
}
