// Whole chunks of the stream: the last ones, and first ones that give way when the scene changes.

#include <weir/cache/eviction/adaptive_sinks.hpp>
#include <weir/cache/eviction/rolling_chunks.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/testing/policy_bench.hpp>

#include <vector>

#include "support/catch.hpp"

using weir::adaptive_sinks;
using weir::keep;
using weir::rolling_chunks;
using weir::sinks;
using weir::testing::policy_bench;

namespace {

weir::kv_shape two_wide() {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 1;
  shape.head_dim = 2;
  return shape;
}

/// Numbers of the kept chunks; each has to be whole.
template <class Bench>
std::vector<std::size_t> chunks(const Bench& bench, std::size_t chunk) {
  std::vector<std::size_t> out;
  const auto kept = bench.kept();
  REQUIRE(kept.size() % chunk == 0);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i % chunk == 0) out.push_back(kept[i] / chunk);
    CHECK(kept[i] == out.back() * chunk + i % chunk);
  }
  return out;
}

using numbers = std::vector<std::size_t>;

}  // namespace

TEST_CASE("a sink and the last chunks stay, whole") {
  const std::size_t chunk = GENERATE(1u, 3u, 40u);
  policy_bench bench(keep(sinks{chunk}, rolling_chunks{chunk, 3}), two_wide(), chunk);
  const numbers expected[] = {{0},          {0, 1},       {0, 1, 2},   {0, 1, 2, 3},
                              {0, 2, 3, 4}, {0, 3, 4, 5}, {0, 4, 5, 6}};
  for (std::size_t c = 0; c < 7; ++c) {
    for (std::size_t i = 0; i < chunk; ++i) bench.append();
    bench.decide();
    CHECK(chunks(bench, chunk) == expected[c]);
  }
}

TEST_CASE("a new chunk lies where the dropped one lay") {
  policy_bench bench(keep(sinks{1}, rolling_chunks{1, 2}), two_wide(), 1);
  const auto by_slot = [&] {
    numbers chunk(4);
    for (const auto index : bench.kept()) chunk.at(bench.place(index).lane) = index;
    return chunk;
  };
  for (int i = 0; i < 5; ++i) bench.append();
  CHECK(by_slot() == numbers{0, 4, 2, 3});
  bench.append();
  CHECK(by_slot() == numbers{0, 4, 5, 3});
  bench.append();
  CHECK(by_slot() == numbers{0, 4, 5, 6});
}

TEST_CASE("a chunk that is still coming counts, and old ones leave whole") {
  policy_bench bench(keep(rolling_chunks{4, 2}), two_wide(), 2);
  std::vector<std::size_t> entries;
  for (int i = 0; i < 8; ++i) {
    bench.append(), bench.append(), bench.decide();
    entries.push_back(bench.kept().size());
    CHECK(bench.kept().front() % 4 == 0);
  }
  CHECK(entries == numbers{2, 4, 6, 8, 6, 8, 6, 8});
}

TEST_CASE("a sink chunk unlike the newest one gives way to it") {
  // A chunk of two tokens whose mean key is `key` and whose mean value is `value`.
  struct scene {
    float key[2], value[2];
  };
  const float threshold = GENERATE(.2f, -1.f);
  policy_bench bench(keep(adaptive_sinks{2, 2, threshold}, rolling_chunks{2, 1}), two_wide(), 2);
  const auto chunk = [&](const scene& s) {
    for (const float way : {.5f, -.5f}) {
      const float key[] = {s.key[0] + way, s.key[1] - way};
      const float value[] = {s.value[0] - way, s.value[1]};
      bench.append(key, value);
    }
    bench.decide();
    return chunks(bench, 2);
  };
  const scene day{{1, 0}, {0, 2}}, dusk{{1, 1}, {1, 1}}, night{{-1, .1f}, {1, -.1f}};
  CHECK(chunk(day) == numbers{0});
  CHECK(chunk(dusk) == numbers{0, 1});
  CHECK(chunk(day) == numbers{0, 1, 2});
  if (threshold < 0) {
    CHECK(chunk(night) == numbers{0, 1, 3});
    CHECK(chunk(night) == numbers{0, 1, 4});
    return;
  }
  // The newest chunk takes a sink's place, and no recent one's.
  CHECK(chunk(night) == numbers{1, 2, 3});  // 0 is least like it
  CHECK(chunk(night) == numbers{2, 3, 4});  // 1 is next
  CHECK(chunk(night) == numbers{3, 4, 5});  // all sinks are night
  CHECK(chunk(night) == numbers{3, 4, 6});
  CHECK(chunk(dusk) == numbers{4, 6, 7});  // as unlike both: the older goes
  // Keys are like the night's to .1 only, but values carry them.
  CHECK(chunk({{0, 1}, {1, -.1f}}) == numbers{4, 7, 8});
}

TEST_CASE("sinks are judged chunk by chunk at any cadence") {
  const std::size_t cadence = GENERATE(1u, 2u, 3u, 4u, 8u, 24u);
  policy_bench bench(keep(adaptive_sinks{4, 2}, rolling_chunks{4, 2}), two_wide(), cadence);
  // Sinks 0 and 1; then 3 and 1, 4 and 1, 5 and 1.
  const float scenes[][2] = {{1, 0}, {1, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}};
  for (const auto& scene : scenes)
    for (int i = 0; i < 4; ++i) bench.append(scene, scene);
  bench.decide();
  CHECK(chunks(bench, 4) == numbers{1, 3, 4, 5});
}
