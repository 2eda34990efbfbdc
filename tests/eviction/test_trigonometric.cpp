// TriAttention, arXiv 2604.04921: a worked example by hand.
#include <weir/cache/eviction/trigonometric.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"
#include "support/refusal.hpp"

using weir::over_queries, weir::query_centres, weir::trigonometric;
using indices = std::vector<std::uint64_t>;
using number = std::complex<float>;

namespace {

std::vector<float> seen;

/// Remembers the scores.
struct watched : trigonometric {
  using trigonometric::trigonometric;
  void score_all(const weir::slots_view& view, std::span<float> score) const {
    trigonometric::score_all(view, score);
    seen.assign(score.begin(), score.end());
  }
};
using bench = weir::testing::policy_bench<weir::keep<watched>>;

weir::kv_shape shape_of(std::size_t q_heads, weir::rope_pairing pairing) {
  weir::kv_shape shape{.layers = 1, .q_heads = q_heads, .kv_heads = 1, .head_dim = 4};
  shape.rope = {4, 10000, pairing};  // 1 and .01 radians a position
  return shape;
}

void set_example(query_centres& centres, std::size_t head, std::size_t layer = 0) {
  centres.set(layer, head, 0, {.9f, .3f}, 1.2f);
  centres.set(layer, head, 1, {.5f, -.2f}, .8f);
}

/// The example's keys, rotated as a cache stores them.
void drive(bench& b, const weir::rope_shape& rope, std::size_t kv_heads = 1) {
  const number keys[6][2] = {{{1, 0}, {.5f, .5f}},       {{.2f, .9f}, {-.3f, .1f}},
                             {{-.8f, .1f}, {.6f, 0}},    {{.5f, -.5f}, {.4f, .4f}},
                             {{.1f, .1f}, {1.2f, -.3f}}, {{.9f, .4f}, {.2f, .1f}}};
  for (std::size_t p = 0; p < 6; ++p) {
    std::vector<float> key(4);
    for (std::size_t f = 0; f < 2; ++f) {
      const number turned =
          keys[p][f] * std::polar(1.0f, static_cast<float>(p) * (f == 0 ? 1.0f : .01f));
      const auto [x, y] = rope.elements(f);
      key[x] = turned.real(), key[y] = turned.imag();
    }
    std::vector<float> of_heads;
    for (std::size_t h = 0; h < kv_heads; ++h)
      of_heads.insert(of_heads.end(), key.begin(), key.end());
    b.append(of_heads);
  }
  b.decide();
}

const float trig[] = {.005187f, .249105f, -.091556f, .476498f, .596580f, -.377330f};
const float norm[] = {.436213f, .314391f, .359508f, .325625f, .358979f, .305988f};

}  // namespace

TEST_CASE("keys are scored by where queries near the centre would find them") {
  for (const auto pairing : {weir::rope_pairing::interleaved, weir::rope_pairing::half_split}) {
    const auto shape = shape_of(1, pairing);
    const auto centres = std::make_shared<query_centres>(shape);
    set_example(*centres, 0);
    bench b({watched(3, centres, over_queries::max, 4)}, shape, 6);
    drive(b, shape.rope);
    CHECK(b.kept() == indices{1, 3, 4});
    REQUIRE(seen.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(seen[i] - trig[i] - norm[i]) <= 1e-5f);
    for (const std::uint64_t i : {1u, 3u, 4u}) CHECK(std::abs(b.note<0>(i) - norm[i]) <= 1e-5f);
  }
}

TEST_CASE("what spreads queries around the centre, by itself, keeps other keys") {
  // Queries that lie on average at 0, as far from it as the example's do from their centre: the
  // score is the second sum alone.
  const auto shape = shape_of(1, weir::rope_pairing::interleaved);
  const auto centres = std::make_shared<query_centres>(shape);
  centres->set(0, 0, 0, {0, 0}, 1.2f - std::hypot(.9f, .3f));
  centres->set(0, 0, 1, {0, 0}, .8f - std::hypot(.5f, .2f));
  bench b({watched(3, centres, over_queries::max, 4)}, shape, 6);
  drive(b, shape.rope);
  CHECK(b.kept() == indices{0, 2, 4});
  REQUIRE(seen.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(seen[i] - norm[i]) <= 1e-5f);
}

TEST_CASE("query heads of a group are combined by the largest score or their mean") {
  // The second head's centre is 0: it scores by Σ A |k| alone.
  const auto shape = shape_of(2, weir::rope_pairing::interleaved);
  const auto centres = std::make_shared<query_centres>(shape);
  set_example(*centres, 0);
  centres->set(0, 1, 0, {0, 0}, .5f);
  for (const auto by : {over_queries::max, over_queries::mean}) {
    bench b({watched(3, centres, by, 4)}, shape, 6);
    drive(b, shape.rope);
    const float lengths[] = {1,
                             std::hypot(.2f, .9f),
                             std::hypot(.8f, .1f),
                             std::hypot(.5f, .5f),
                             std::hypot(.1f, .1f),
                             std::hypot(.9f, .4f)};
    for (std::size_t i = 0; i < 6; ++i) {
      const float first = trig[i] + norm[i], second = .5f * lengths[i];
      const float expected =
          by == over_queries::max ? std::max(first, second) : (first + second) / 2;
      CHECK(std::abs(seen[i] - expected) <= 1e-5f);
    }
  }
}

TEST_CASE("each layer and head has centres of its own") {
  auto shape = shape_of(4, weir::rope_pairing::interleaved);
  shape.layers = 2, shape.kv_heads = 2;
  const auto centres = std::make_shared<query_centres>(shape);
  set_example(*centres, 3, 1);
  bench b({watched(3, centres, over_queries::mean, 4)}, shape, 6);
  drive(b, shape.rope, 2);
  CHECK(b.kept(1, 1) == indices{1, 3, 4});
  CHECK(b.kept(1, 0) == indices{0, 1, 2});  // all tie
  CHECK(b.kept(0, 1) == indices{0, 1, 2});
  for (const std::uint64_t i : {1u, 3u, 4u}) {
    CHECK(b.note<0>(i, 0, 1, 1) == 0);
    CHECK(std::abs(b.note<0>(i, 1, 1, 1) - norm[i]) <= 1e-5f);
  }
}

TEST_CASE("centres of another model are refused") {
  const auto shape = shape_of(1, weir::rope_pairing::interleaved);
  const auto other = shape_of(1, weir::rope_pairing::half_split);
  const auto centres = std::make_shared<query_centres>(other);
  weir_test::require_refused<weir::error::bad_config>(
      [&] { trigonometric(3, centres).validate(shape); }, {"trigonometric", "another model"});
  weir_test::require_refused<weir::error::bad_config>(
      [&] { trigonometric(3, nullptr).validate(shape); }, {"trigonometric"});
  trigonometric(3, centres).validate(other);
  weir_test::require_refused<weir::error::bad_config>(
      [&] { trigonometric(3, centres, weir::over_queries::max, 0); }, {"0 offsets"});
}
