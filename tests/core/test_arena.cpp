#include <weir/core/arena.hpp>

#include <algorithm>
#include <cstdint>

#include "support/catch.hpp"

using weir::arena;
using weir::arena_plan;

TEST_CASE("an arena holds what its plan announced, apart, aligned and zeroed") {
  arena_plan plan;
  const auto bytes = plan.reserve<std::int8_t>(3);
  const auto none = plan.reserve<double>(0);
  const auto floats = plan.reserve<float>(17);
  const auto words = plan.reserve<std::uint64_t>(1);
  CHECK(plan.bytes() == 64 + 128 + 64);

  const arena memory(plan);
  CHECK(memory.bytes() == plan.bytes());
  CHECK(memory[bytes].size() == 3);
  CHECK(memory[none].empty());
  CHECK(memory[floats].size() == 17);
  const auto address = [](const auto& span) {
    return reinterpret_cast<std::uintptr_t>(span.data());
  };
  CHECK(address(memory[bytes]) % weir::cache_line == 0);
  CHECK(address(memory[floats]) % weir::cache_line == 0);
  CHECK(address(memory[words]) % weir::cache_line == 0);
  for (const float x : memory[floats]) CHECK(x == 0.0f);

  for (float& x : memory[floats]) x = -1.0f;
  for (std::int8_t& x : memory[bytes]) x = 5;
  CHECK(memory[words][0] == 0);
  CHECK(memory[floats][16] == -1.0f);
}

TEST_CASE("large arrays start at multiples of 64 KiB, whatever the size of the arena") {
  for (const std::size_t before : {std::size_t{1}, std::size_t{3} << 20}) {
    arena_plan plan;
    const auto small = plan.reserve<std::int8_t>(before);
    const auto large = plan.reserve<std::int8_t>(weir::large_array);
    const auto last = plan.reserve<std::int8_t>(1);
    CHECK(plan.bytes() == (before == 1 ? weir::large_start : before) + weir::large_array + 64);
    const arena memory(plan);
    CHECK(reinterpret_cast<std::uintptr_t>(memory[large].data()) % weir::large_start == 0);
    CHECK(memory[small].data() + before <= memory[large].data());
    CHECK(memory[large].data() + weir::large_array == memory[last].data());
  }
}

TEST_CASE("moving an arena leaves its blocks where they are") {
  arena_plan plan;
  const auto numbers = plan.reserve<int>(4);
  arena first(plan);
  first[numbers][2] = 7;
  const int* const where = first[numbers].data();
  const arena second = std::move(first);
  CHECK(second[numbers].data() == where);
  CHECK(second[numbers][2] == 7);
}

TEST_CASE("an empty plan takes no memory") {
  const arena memory{arena_plan{}};
  CHECK(memory.bytes() == 0);
  CHECK(arena().bytes() == 0);
}

TEST_CASE("an arena of several huge pages is aligned, zeroed and copied to its last byte") {
  arena_plan plan;
  const auto block = plan.reserve<std::uint32_t>((std::size_t{5} << 20) / 4 + 3);
  const arena first(plan);
  CHECK(reinterpret_cast<std::uintptr_t>(first[block].data()) % (std::size_t{2} << 20) == 0);
  CHECK(std::all_of(first[block].begin(), first[block].end(), [](auto x) { return x == 0; }));
  for (std::uint32_t i = 0; std::uint32_t & x : first[block]) x = i++;
  const arena second = first.copy();
  CHECK(second.bytes() == first.bytes());
  CHECK(second[block].data() != first[block].data());
  CHECK(std::ranges::equal(first[block], second[block]));
}
