#include <weir/core/shared_range.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <vector>

#include <weir/core/thread_pool.hpp>
#include "support/catch.hpp"

using weir::shared_range;

TEST_CASE("an owner takes from the front of its share, others from its back") {
  shared_range range(10, 2);
  CHECK(range.take_one(0) == 0u);
  CHECK(range.take_one(1) == 5u);
  for (const std::size_t next : {6u, 7u, 8u, 9u, 4u, 3u, 2u, 1u}) CHECK(range.take_one(1) == next);
  CHECK(range.take_one(0) == std::nullopt);
  CHECK(range.take_one(1) == std::nullopt);
}

TEST_CASE("pieces halve") {
  shared_range range(20, 2);
  const auto take = [&](unsigned part) {
    const auto p = range.take_half(part);
    return p ? std::vector{p->first, p->last} : std::vector<std::size_t>{};
  };
  CHECK(take(0) == std::vector<std::size_t>{0, 5});
  CHECK(take(0) == std::vector<std::size_t>{5, 8});
  CHECK(take(0) == std::vector<std::size_t>{8, 9});
  CHECK(take(0) == std::vector<std::size_t>{9, 10});
  CHECK(take(0) == std::vector<std::size_t>{15, 20});
  CHECK(take(1) == std::vector<std::size_t>{10, 13});
  CHECK(take(0) == std::vector<std::size_t>{14, 15});
  CHECK(take(1) == std::vector<std::size_t>{13, 14});
  CHECK(take(1).empty());
}

TEST_CASE("shares begin at whole units") {
  shared_range range(21, 3, 4);  // units of 4: one, two, two and what is left over
  CHECK(range.take_one(0) == 0u);
  CHECK(range.take_one(1) == 4u);
  CHECK(range.take_one(2) == 12u);
  shared_range small(3, 2, 4);
  CHECK(small.take_one(1) == 0u);
}

TEST_CASE("parts beyond the last share only help") {
  shared_range range(100, shared_range::max_shares + 8);
  CHECK(range.take_one(shared_range::max_shares + 5).has_value());
  std::size_t left = 0;
  while (range.take_one(shared_range::max_shares + 7)) ++left;
  CHECK(left == 99);
}

TEST_CASE("every number is taken once, whoever is slow") {
  weir::thread_pool threads(4);
  for (int round = 0; round < 500; ++round) {
    std::vector<std::atomic<int>> count(97);
    shared_range range(count.size(), 4);
    threads.run([&](unsigned part) {
      if (part % 2 == 0)
        while (const auto i = range.take_one(part)) ++count[*i];
      else
        while (const auto p = range.take_half(part))
          for (std::size_t i = p->first; i < p->last; ++i) ++count[i];
    });
    REQUIRE(std::all_of(count.begin(), count.end(), [](const auto& c) { return c == 1; }));
  }
}
