#include <weir/simd/random.hpp>

#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

#include <weir/core/philox.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"

namespace simd = weir::simd;

TEMPLATE_TEST_CASE("a lane of Philox is Philox", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  const weir::random_source random{1, 2};
  for (std::uint64_t round = 0; round < 200; ++round) {
    const auto draw = [&](std::uint32_t i) {
      return random.bits(weir::purpose::scoring, round, i);
    };
    const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    const std::uint32_t c = low(draw(100)), d = low(draw(101));
    const std::array<std::uint32_t, 2> key = {low(draw(102)), low(draw(103))};
    std::uint64_t counter[lanes];
    for (std::uint32_t l = 0; l < lanes; ++l) counter[l] = round % 2 == 0 ? draw(l) : l;
    simd::ints<TestType> out[4];
    simd::philox<TestType>(counter, c, d, simd::philox_key(key), out);
    for (std::size_t w = 0; w < 4; ++w) {
      std::int32_t word[lanes];
      out[w].store_unaligned(word);
      for (std::size_t l = 0; l < lanes; ++l) {
        const auto expected = weir::philox({low(counter[l]), low(counter[l] >> 32), c, d}, key);
        REQUIRE(static_cast<std::uint32_t>(word[l]) == expected[w]);
      }
    }
  }
}

TEST_CASE("open uniform numbers stay off both ends") {
  CHECK(simd::open_uniform(0u) == 0x1p-24f);
  CHECK(simd::open_uniform(0x1FFu) == 0x1p-24f);
  CHECK(simd::open_uniform(0x200u) == 3 * 0x1p-24f);
  CHECK(simd::open_uniform(0xFFFFFFFFu) == 1 - 0x1p-24f);
}

TEST_CASE("seven rounds of Philox are those of its plain form, and leave another block than ten") {
  const std::array<std::uint32_t, 4> counter = {1, 2, 3, 4};
  const std::array<std::uint32_t, 2> key = {5, 6};
  constexpr std::size_t lanes = simd::lanes<simd::native>;
  std::uint64_t numbers[lanes];
  for (std::uint64_t& i : numbers) i = std::uint64_t{2} << 32 | 1;
  simd::ints<simd::native> out[4];
  simd::philox<simd::native>(numbers, 3, 4, simd::philox_key<7>(key), out);
  const auto expected = weir::philox<7>(counter, key);
  for (std::size_t w = 0; w < 4; ++w) {
    std::int32_t word[lanes];
    out[w].store_unaligned(word);
    CHECK(static_cast<std::uint32_t>(word[lanes - 1]) == expected[w]);
  }
  CHECK(weir::philox<7>(counter, key) != weir::philox(counter, key));
}

TEMPLATE_TEST_CASE("Gumbel draws have the bits of their plain form", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  for (std::uint32_t b = 0; b < 0xFFF00000u; b += 999'983) {
    std::int32_t in[lanes];
    for (std::uint32_t l = 0; l < lanes; ++l) in[l] = static_cast<std::int32_t>(b + 12345 * l);
    if (b < 999'983) in[0] = 0, in[1] = -1;  // both ends
    float out[lanes];
    const simd::ints<TestType> drawn[] = {simd::ints<TestType>::load_unaligned(in)};
    simd::floats<TestType> noise[1];
    simd::gumbel_bits<TestType>(drawn, noise);
    simd::store<TestType>(out, noise[0]);
    for (std::size_t l = 0; l < lanes; ++l) {
      const auto word = static_cast<std::uint32_t>(in[l]);
      REQUIRE(std::bit_cast<std::uint32_t>(out[l]) ==
              std::bit_cast<std::uint32_t>(simd::gumbel_bits(word)));
      const double exact = -std::log2(-std::log2(double{simd::open_uniform(word)}));
      REQUIRE(std::fabs(out[l] - exact) <= 8e-6);
    }
  }
}

TEST_CASE("Gumbel draws have the distribution's mean and variance") {
  const weir::random_source random{5, 0};
  double sum = 0, squares = 0;
  constexpr int n = 200'000;
  for (std::uint64_t i = 0; i < n; ++i) {
    const float drawn =
        simd::gumbel_bits(static_cast<std::uint32_t>(random.bits(weir::purpose::scoring, i)));
    const double x = std::numbers::ln2 * drawn - std::log(std::numbers::ln2);
    sum += x;
    squares += x * x;
  }
  const double mean = sum / n, variance = squares / n - mean * mean;
  CHECK(std::fabs(mean - 0.577216) < 0.012);     // standard error 0.0029
  CHECK(std::fabs(variance - 1.644934) < 0.06);  // π² / 6
}
