// Rounding a RoPE pair: one of the four neighbours, the best by the stated measure, and nothing
// clever about what is not finite.
#include <weir/cache/codec/round_pair.hpp>

#include <cmath>
#include <limits>

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
