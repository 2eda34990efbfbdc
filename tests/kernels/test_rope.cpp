// Rotation: the worked numbers, additivity, and angles that stay exact at any stream index.
#include <weir/kernels/cpu/rope.hpp>

#include <array>
#include <cmath>

#include <weir/kernels/reference/rope.hpp>

#include "support/arches.hpp"
#include "support/catch.hpp"

namespace {

using namespace weir;

std::vector<float> rotated(const rope_angles& rope, const std::vector<float>& x, std::uint64_t at) {
  std::vector<float> c(rope.shape().dims), s(rope.shape().dims), out(x.size());
  rope.factors(position{at}, c.data(), s.data());
  reference::rotate(rope.shape(), x.data(), out.data(), x.size(), c.data(), s.data());
  return out;
}

template <class A>
void expect_reference_bits() {
  for (const auto pairing : {rope_pairing::interleaved, rope_pairing::half_split})
    for (const std::size_t dims : {0u, 2u, 4u, 6u, 16u, 30u, 32u, 34u, 64u, 80u, 128u}) {
      const rope_angles rope({dims, 1e4, pairing});
      const std::size_t head_dim = dims + 3;
      std::vector<float> x(head_dim), c(dims), s(dims), expected(head_dim), out(head_dim);
      for (std::size_t i = 0; i < head_dim; ++i) x[i] = std::sin(static_cast<float>(7 * i + 1));
      rope.factors(position{12345}, c.data(), s.data());
      reference::rotate(rope.shape(), x.data(), expected.data(), head_dim, c.data(), s.data(),
                        0.3f);
      cpu::rotate<A>(rope.shape(), x.data(), out.data(), head_dim, c.data(), s.data(), 0.3f);
      REQUIRE(out == expected);
      cpu::rotate<A>(rope.shape(), x.data(), x.data(), head_dim, c.data(), s.data(), 0.3f);
      REQUIRE(x == expected);  // in place
    }
}

void require_near(const std::vector<float>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(std::abs(a[i] - b[i]) < 1e-5);
}

}  // namespace

TEST_CASE("rotation gives the reference's bits on every architecture, in place too") {
  weir_test::for_each_arch([]<class A> { expect_reference_bits<A>(); });
}

TEST_CASE("a position's phase is right to the last of 64 bits") {
  // base^(−2i/dims) / 2π of a turn, worked out in decimal.
  const struct {
    std::size_t dims;
    double base;
    std::size_t pair;
    std::uint64_t phase;
  } exact[] = {{64, 1e4, 0, 0x28be60db9391054a},  {64, 1e4, 1, 0x1e8dae29db02bb88},
               {64, 1e4, 17, 0x4e37806b266d65},   {64, 1e4, 31, 0x16412e4ffae4c},
               {128, 5e5, 1, 0x2130c415f3514ea0}, {128, 5e5, 63, 0x68e3fbde7a8},
               {96, 1e6, 29, 0x27932df3f5be6},    {4, .5, 1, 0x399ec8537ccc4240},
               {2, 1e4, 0, 0x28be60db9391054a}};
  for (const auto& e : exact) {
    INFO(e.dims << " of " << e.base << ", pair " << e.pair);
    CHECK(rope_angles({e.dims, e.base}).phase(e.pair, position{1}) == e.phase);
  }
}

TEST_CASE("keys rotate to the published numbers in both pairings") {
  const rope_angles half({4, 1e4, rope_pairing::half_split});
  const rope_angles inter({4, 1e4, rope_pairing::interleaved});
  require_near(rotated(half, {1, 2, 3, 4}, 3), {-1.413353, 1.879118, -2.828857, 4.058191});
  require_near(rotated(inter, {1, 2, 3, 4}, 3), {-1.272233, -1.838865, 2.878668, 4.088187});
  require_near(rotated(half, {1, 2, 3, 4}, 10), {0.792992, 1.590675, -3.061236, 4.179683});
  require_near(rotated(half, {1, 2, 3, 4}, 7), {-1.217058, 1.715331, 2.918693, 4.13009});
}

TEST_CASE("a key re-rotated by the way it moves is the raw key rotated there") {
  const rope_angles rope({2, 1e4, rope_pairing::interleaved});  // one radian a position
  const auto require_pair = [](const std::vector<float>& x, float a, float b) {
    REQUIRE(std::abs(x[0] - a) <= 1e-6f);
    REQUIRE(std::abs(x[1] - b) <= 1e-6f);
  };
  weir_test::for_each_arch([&]<class A> {
    const auto turned = [&](const std::vector<float>& x, std::uint64_t by) {
      std::vector<float> c(x.size()), s(x.size()), out(x.size());
      rope.factors(position{by}, c.data(), s.data());
      cpu::rotate<A>(rope.shape(), x.data(), out.data(), x.size(), c.data(), s.data());
      return out;
    };
    std::vector<float> raw(rope.shape().dims);
    raw[0] = .6f, raw[1] = .8f;
    const auto at_5 = turned(raw, 5);
    require_pair(at_5, .937337f, -.348425f);
    const auto moved = turned(at_5, std::uint64_t{0} - 3), direct = turned(raw, 2);
    require_pair(moved, -.977126f, .212661f);
    require_pair(moved, direct[0], direct[1]);
  });
}

TEST_CASE("a score depends on the distance alone") {
  const rope_angles rope({4, 1e4, rope_pairing::half_split});
  const auto score = [&](std::uint64_t q, std::uint64_t k) {
    const auto a = rotated(rope, {.5f, -1, .25f, 2}, q), b = rotated(rope, {1, 2, 3, 4}, k);
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  };
  REQUIRE(std::abs(score(5, 3) - 6.455249f) < 1e-5f);
  REQUIRE(std::abs(score(2, 0) - 6.455249f) < 1e-5f);
  // As exact at ten billion as at ten.
  REQUIRE(std::abs(score(10'000'000'002, 10'000'000'000) - 6.455249f) < 1e-5f);
}

TEST_CASE("pairs that turn more than once a position turn as far as they should") {
  const double base = 1e-4;
  const rope_angles rope({4, base});
  for (const std::uint64_t at : {0u, 1u, 5u}) {
    const double angle = static_cast<double>(at) * std::pow(base, -.5);  // 15.9 turns each
    CHECK(std::abs(rope.cos_sin(1, position{at}).cos - std::cos(angle)) < 1e-6);
    CHECK(std::abs(rope.cos_sin(1, position{at}).sin - std::sin(angle)) < 1e-6);
  }
}

TEST_CASE("phases add exactly, across 2^32 and at ten billion") {
  const rope_angles rope({128, 1e4, rope_pairing::interleaved});
  for (std::size_t i = 0; i < rope.pairs(); ++i)
    for (const std::uint64_t a : {7ull, (1ull << 32) - 1, 10'000'000'000ull})
      REQUIRE(rope.phase(i, position{a}) + rope.phase(i, position{67}) ==
              rope.phase(i, position{a + 67}));
}

TEST_CASE("rotating forth and back is the identity; elements beyond dims stay") {
  const rope_angles rope({4, 1e4, rope_pairing::interleaved});
  // 2^64 − n is the position −n.
  auto x = rotated(rope, {1, 2, 3, 4, 5, 6}, 1000);
  REQUIRE((x[4] == 5 && x[5] == 6));
  x = rotated(rope, x, std::uint64_t{0} - 1000);
  require_near(x, {1, 2, 3, 4, 5, 6});
}

TEST_CASE("rotating 100...172 and then by -67 equals rotating 33...105") {
  const rope_angles rope({64, 1e4, rope_pairing::half_split});
  double difference = 0, total = 0;
  for (std::uint64_t p = 100; p <= 172; ++p) {
    std::vector<float> x(64);
    for (std::size_t i = 0; i < 64; ++i) x[i] = std::sin(static_cast<float>(i + p));
    const auto there = rotated(rope, rotated(rope, x, p), std::uint64_t{0} - 67);
    const auto direct = rotated(rope, x, p - 67);
    for (std::size_t i = 0; i < 64; ++i) {
      difference += std::abs(there[i] - direct[i]);
      total += std::abs(direct[i]);
    }
  }
  REQUIRE(difference / total < 1e-4);
}
