#include <weir/core/philox.hpp>

#include <set>

#include "support/catch.hpp"

using weir::philox;
using weir::purpose;
using weir::random_source;
using block = std::array<std::uint32_t, 4>;

TEST_CASE("the published known answers of Philox4x32-10") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("seed, stream key, purpose, index and draw each lead to other numbers") {
  std::set<std::uint64_t> seen;
  std::size_t asked = 0;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32, ~0ull})
    for (const std::uint64_t key : {0ull, 1ull, 1ull << 32, ~0ull})
      for (const purpose why : {purpose::sampling, purpose::drafting, purpose::acceptance})
        for (const std::uint64_t index : {0ull, 1ull, 1ull << 32, ~0ull})
          for (const std::uint32_t draw : {0u, 1u, ~0u}) {
            seen.insert(random_source{seed, key}.bits(why, index, draw));
            ++asked;
          }
  CHECK(seen.size() == asked);
}

TEST_CASE("uniform numbers fill [0, 1) evenly") {
  const random_source random{11, 3};
  double sum = 0;
  int tenth[10] = {};
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const double u = random.uniform(purpose::sampling, i);
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    ++tenth[static_cast<int>(u * 10)];
  }
  CHECK(sum / 100'000 > 0.495);
  CHECK(sum / 100'000 < 0.505);
  double chi = 0;
  for (const int count : tenth) chi += (count - 10'000.0) * (count - 10'000.0) / 10'000.0;
  CHECK(chi < 33.8);  // 9 degrees of freedom, one in ten thousand
}
