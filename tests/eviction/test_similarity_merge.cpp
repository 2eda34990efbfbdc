#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/similarity_merge.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>

#include <cmath>
#include <vector>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::merge_weight;
using weir::similarity_merge;
using weir::slot;
using weir::testing::hand_head;
using weir::testing::near;

namespace {

using vectors = std::vector<std::vector<float>>;

const vectors keys{{1, 0}, {0, 1}, {.6f, .8f}, {-1, 0}, {.8f, .6f}, {.1f, .99f}};
const vectors values{{1, 1}, {2, 0}, {4, 2}, {8, 8}, {0, 3}, {1, 5}};

void check(const std::vector<float>& found, float x, float y) {
  CHECK(near(found[0], x));
  CHECK(near(found[1], y));
}

void evict(const similarity_merge& handler, hand_head& head,
           const std::vector<std::size_t>& dropped, const std::vector<std::size_t>& kept) {
  std::vector<slot> out, in;
  for (const auto i : dropped) out.push_back(head.at(i));
  for (const auto i : kept) in.push_back(head.at(i));
  handler.on_evict(head.view(), out, in);
}

}  // namespace

TEST_CASE("a dropped entry becomes part of the kept one most like it, if like enough") {
  // In slots of another order, some of which hold nothing.
  const std::vector<std::uint32_t> places =
      GENERATE(std::vector<std::uint32_t>{}, std::vector<std::uint32_t>{7, 2, 9, 0, 4, 1});
  SECTION("the code's weights") {
    const similarity_merge handler{.weight = merge_weight::count};
    hand_head head(handler, 2, keys, values, places);
    head.on_append(handler);
    evict(handler, head, {2, 3}, {0, 1, 4, 5});
    CHECK(near(head.state()[0], .48));
    check(head.key(4), .688f, .684f);
    check(head.value(4), 1.92f, 2.46f);
    for (const std::size_t i : {0u, 1u, 5u}) check(head.key(i), keys[i][0], keys[i][1]);
  }
  SECTION("normalised weights") {
    const similarity_merge handler;
    hand_head head(handler, 2, keys, values, places);
    head.on_append(handler);
    evict(handler, head, {2, 3}, {0, 1, 4, 5});
    CHECK(near(head.state()[0], .48));
    check(head.key(4), .702f, .698f);
    check(head.value(4), .490001f * 4, .509999f * 3 + .490001f * 2);
    for (const std::size_t i : {0u, 1u, 5u}) check(head.value(i), values[i][0], values[i][1]);
    // The norm that cosines are taken by follows.
    CHECK(near(head.view().note(head.at(4)), 1 / std::hypot(head.key(4)[0], head.key(4)[1])));
  }
}

TEST_CASE("theta follows the mean cosine of what is dropped") {
  const similarity_merge handler;
  hand_head head(handler, 2, {{1, 0}, {2, 0}, {-3, 0}, {.5f, std::sqrt(.75f)}});
  head.on_append(handler);
  evict(handler, head, {}, {0});
  CHECK(head.state()[1] == 0);
  head.state()[0] = .48f;
  head.state()[1] = 1;
  evict(handler, head, {3}, {0});  // cosine .5, at least .49: merged
  CHECK(near(head.state()[0], .49));
  CHECK(near(head.key(0)[1], .377541 * std::sqrt(.75)));  // exp(.5) / (e + exp(.5))

  hand_head strict(handler, 2, {{1, 0}, {2, 0}, {-3, 0}, {.5f, std::sqrt(.75f)}});
  strict.on_append(handler);
  strict.state()[0] = .6f;
  strict.state()[1] = 1;
  evict(handler, strict, {3}, {0});  // .5 < .55: dropped
  CHECK(near(strict.state()[0], .55));
  check(strict.key(0), 1, 0);
}

TEST_CASE("many entries meet the same one, and ties go to the lowest slot") {
  const similarity_merge handler{.weight = merge_weight::count};
  vectors k{{2, 0}, {3, 0}, {0, 1}};
  std::vector<std::size_t> dropped;
  for (std::size_t i = 0; i < 20; ++i) {
    dropped.push_back(k.size());
    k.push_back({static_cast<float>(i + 1), 0});
  }
  vectors v(k.size(), {1, 2});
  hand_head head(handler, 2, k, v);
  head.on_append(handler);
  evict(handler, head, dropped, {0, 1, 2});
  check(head.key(0), 212.0f / 21, 0);
  check(head.value(0), 1, 2);
  check(head.key(1), 3, 0);
  check(head.key(2), 0, 1);

  // Normalised: equal cosines weigh alike.
  const similarity_merge normalised;
  hand_head other(normalised, 2, k, v);
  other.on_append(normalised);
  evict(normalised, other, dropped, {0, 1, 2});
  check(other.key(0), 212.0f / 21, 0);
}

TEST_CASE("keys of norm zero are like nothing, and nothing kept is nothing met") {
  const similarity_merge handler;
  hand_head head(handler, 2, {{0, 0}, {0, 1}, {1, 0}, {0, 0}});
  head.on_append(handler);
  evict(handler, head, {2, 3}, {0, 1});
  CHECK(head.state()[0] == 0);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::isfinite(head.key(i)[0]));
    CHECK(std::isfinite(head.key(i)[1]));
  }
  evict(handler, head, {0, 1}, {});
  CHECK(head.state()[0] == 0);
}

TEST_CASE("what neither the window nor the heavy hitters select is merged") {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 1;
  shape.head_dim = 2;
  weir::testing::policy_bench bench(
      weir::keep(weir::window{2}, weir::heavy_hitters{2}, similarity_merge{}), shape, 6);
  for (std::size_t i = 0; i < 6; ++i) bench.append(keys[i], values[i]);
  bench.observe(0, 0, std::vector<float>{3, 1, .5f, .2f, .4f, .3f});
  bench.decide();
  CHECK(bench.kept() == std::vector<std::uint64_t>{0, 1, 4, 5});
  const auto merged = bench.key(4);
  CHECK(near(merged[0], .702));
  CHECK(near(merged[1], .698));
  CHECK(near(bench.state<2>()[0], .48));
}
