// Sizes that no memory could hold are refused where they are worked out, and memory that cannot be
// had is refused with its size.
#include <weir/core/checked_size.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/arena.hpp>

#include "support/catch.hpp"
#include "support/refusal.hpp"

using weir::arena, weir::arena_plan, weir::checked_product, weir::checked_sum, weir::largest_size;
using weir::error::bad_config, weir::error::out_of_memory;
using weir_test::require_refused;

namespace {
constexpr std::size_t wraps = std::numeric_limits<std::size_t>::max();
}

TEST_CASE("sums and products are exact up to the largest size") {
  STATIC_REQUIRE(checked_sum(3, 4u, 5u) == 12);
  STATIC_REQUIRE(checked_product(3, 4u, 5u) == 60);
  STATIC_REQUIRE(checked_product(0, wraps) == 0);
  STATIC_REQUIRE(checked_product(wraps, 0u) == 0);
  STATIC_REQUIRE(weir::round_up(65, 64) == 128);
  CHECK(checked_sum(largest_size, 0u) == largest_size);
  CHECK(checked_sum(largest_size - 1, 1u) == largest_size);
  CHECK(checked_product(largest_size / 2, 2u) == largest_size - 1);
  CHECK(checked_product(largest_size, 1u, 1u) == largest_size);
}

TEST_CASE("sums and products beyond it are refused") {
  for (const std::size_t a : {std::size_t{1}, largest_size, largest_size + 1, wraps}) {
    require_refused<bad_config>([&] { checked_sum(a, largest_size); }, {"size: ", " + "});
    require_refused<bad_config>([&] { checked_sum(a, wraps); }, {"expected at most"});
  }
  require_refused<bad_config>([] { checked_sum(std::size_t{1} << 62, 1u, std::size_t{1} << 62); },
                              {"4611686018427387905 + 4611686018427387904"});
  require_refused<bad_config>([] { checked_product(std::size_t{1} << 32, std::size_t{1} << 31); },
                              {"size: 4294967296 * 2147483648"});
  // Wraps to small numbers, each of them.
  require_refused<bad_config>([] { checked_product(std::size_t{1} << 62, 4u); }, {" * 4 "});
  require_refused<bad_config>([] { checked_product(wraps / 3 + 1, 3u); }, {" * 3 "});
  require_refused<bad_config>([] { weir::round_up(wraps - 5, 64); }, {"size: "});
}

TEST_CASE("a plan refuses what no memory could hold, and goes on as if not asked") {
  arena_plan plan;
  plan.reserve<float>(10);
  const std::size_t before = plan.bytes();
  for (const std::size_t n : {std::size_t{1} << 61, std::size_t{1} << 62,
                              (std::size_t{1} << 62) + 1, std::size_t{1} << 63, wraps})
    require_refused<bad_config>([&] { plan.reserve<float>(n); }, {"size: "});
  require_refused<bad_config>(
      [&] { plan.reserve<std::uint8_t>(std::size_t{1} << 40, std::size_t{1} << 24); }, {" * "});
  require_refused<bad_config>([&] { plan.reserve<std::uint8_t>(largest_size); }, {"size: "});
  CHECK(plan.bytes() == before);
  CHECK(plan.reserve<std::uint64_t>(3u, 4u, 5u).count == 60);
  CHECK(plan.bytes() == before + 512);
}

TEST_CASE("a sum of blocks that wraps is refused") {
  arena_plan plan;
  plan.reserve<std::uint8_t>(largest_size - (std::size_t{1} << 20));
  plan.reserve<std::uint8_t>(std::size_t{1} << 19);
  require_refused<bad_config>([&] { plan.reserve<std::uint8_t>(std::size_t{1} << 20); },
                              {"size: "});
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end the program here
TEST_CASE("an arena that no memory can be had for says how much it wanted") {
  arena_plan plan;
  plan.reserve<std::uint8_t>(std::size_t{1} << 60);
  require_refused<out_of_memory>([&] { const arena a(plan); }, {"1152921504606846976 bytes"});
}
#endif
