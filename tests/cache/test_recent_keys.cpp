#include <weir/cache/retention/recent_keys.hpp>

#include <algorithm>
#include <vector>

#include "support/catch.hpp"

using weir::recent_keys;
using weir::tile_place;

namespace {

constexpr std::size_t dim = 4;

struct keys_of_three {
  weir::arena_plan plan;
  recent_keys<float> keys{plan, 2, 3, dim};
  weir::arena memory{plan};
  keys_of_three() { keys.bind(memory); }

  void add(std::size_t head_index, tile_place at, float value) {
    std::fill_n(keys.add(head_index, at), dim, value);
  }
  /// The number that a key is made of; −1 if it was forgotten.
  float found(std::size_t head_index, tile_place at) const {
    const float* const key = keys.find(head_index, at);
    if (key == nullptr) return -1;
    CHECK(std::vector(key, key + dim) == std::vector(dim, key[0]));
    return key[0];
  }
};

}  // namespace

TEST_CASE("keys are found by place until newer ones need the room") {
  keys_of_three k;
  CHECK(k.found(0, {0, 0}) == -1);
  k.add(0, {0, 0}, 1);
  k.add(0, {5, 31}, 2);
  k.add(1, {0, 0}, 3);
  k.add(0, {5, 30}, 4);
  CHECK(k.found(0, {0, 0}) == 1);
  CHECK(k.found(0, {5, 31}) == 2);
  CHECK(k.found(0, {5, 30}) == 4);
  CHECK(k.found(1, {0, 0}) == 3);
  CHECK(k.found(1, {5, 31}) == -1);
  k.add(0, {1, 1}, 5);
  CHECK(k.found(0, {0, 0}) == -1);
  CHECK(k.found(0, {1, 1}) == 5);
  CHECK(k.found(1, {0, 0}) == 3);
}

TEST_CASE("a place has one key, the last that was written there") {
  keys_of_three k;
  k.add(0, {2, 7}, 1);
  k.add(0, {2, 7}, 2);
  CHECK(k.found(0, {2, 7}) == 2);
  k.add(0, {3, 0}, 3);
  k.add(0, {3, 1}, 4);  // takes the room of the first
  CHECK(k.found(0, {2, 7}) == 2);
  k.keys.forget(0, {2, 7});
  CHECK(k.found(0, {2, 7}) == -1);
  CHECK(k.found(0, {3, 0}) == 3);
}

TEST_CASE("without room nothing is kept") {
  weir::arena_plan plan;
  recent_keys<float> keys(plan, 2, 0, dim);
  const weir::arena memory(plan);
  keys.bind(memory);
  CHECK(plan.bytes() == 0);
  CHECK(keys.add(1, {0, 0}) == nullptr);
  keys.forget(1, {0, 0});
  CHECK(keys.find(1, {0, 0}) == nullptr);
}
