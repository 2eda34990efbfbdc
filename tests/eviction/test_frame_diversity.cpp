#include <weir/cache/eviction/frame_diversity.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/testing/policy_bench.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::frame_diversity;
using weir::testing::hand_head;
using weir::testing::near;

namespace {

const std::vector<std::vector<float>> keys{{1, 0}, {1, .1f},  {.9f, .2f},
                                           {0, 1}, {-1, .2f}, {1, .05f}};

}  // namespace

TEST_CASE("entries score by how little their key is like the candidates' mean") {
  const std::vector<std::uint32_t> places =
      GENERATE(std::vector<std::uint32_t>{}, std::vector<std::uint32_t>{4, 2, 8, 0, 5, 1});
  const frame_diversity policy{3, 1};
  hand_head head(policy, 2, keys, {}, places);
  head.on_append(policy);
  std::vector<float> score(6);
  policy.score_all(head.view(), score);
  const double s[] = {.426999, .456195, .312498, -.328867, .412988};
  for (std::size_t i = 0; i < 5; ++i) CHECK(near(score[i + 1], -s[i]));
  CHECK(near(head.state()[1], .397879));
  CHECK(near(head.state()[2], .312498));
  CHECK(near(policy.layer_statistic(head.view()), .255963));
}

TEST_CASE("a frame leaves its anchor and the most unlike") {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 1;
  shape.head_dim = 2;
  weir::testing::policy_bench bench(weir::keep(weir::sinks{1}, frame_diversity{3, 1}), shape, 6);
  for (const auto& key : keys) bench.append(key);
  bench.decide();
  CHECK(bench.kept() == std::vector<std::uint64_t>{0, 3, 4, 5});
}

TEST_CASE("layers whose keys are alike get smaller budgets, and the total is exact") {
  weir::kv_shape shape;
  shape.layers = 3;
  shape.kv_heads = 2;
  // Means .24, .9, .2. Rounded down: 1276, 340, 1382.
  const std::vector<float> similarity{.14f, .34f, .8f, 1, .2f, .2f};
  std::vector<std::size_t> budgets(3);
  frame_diversity{1000, 7}.allocate_layers(shape, similarity, budgets);
  CHECK(budgets == std::vector<std::size_t>{1276, 341, 1383});
}

TEST_CASE("a key that is no number has no say in the layers' budgets") {
  const float inf = std::numeric_limits<float>::infinity();
  const frame_diversity policy{3, 0};
  for (const float bad : {inf, std::nanf("")}) {
    hand_head head(policy, 2, {{1, 0}, {bad, 1}, {0, 1}});
    head.on_append(policy);
    std::vector<float> score(3);
    policy.score_all(head.view(), score);
    CHECK(std::isfinite(policy.layer_statistic(head.view())));
  }
}

TEST_CASE("nothing but the anchor, and keys of norm zero, are no trouble") {
  const frame_diversity policy{3, 9};
  hand_head head(policy, 2, keys);
  head.on_append(policy);
  std::vector<float> score(6, 1);
  policy.score_all(head.view(), score);
  for (const float s : score) CHECK(s == 0);
  CHECK(policy.layer_statistic(head.view()) == 0);

  const frame_diversity open{3, 0};
  hand_head zeros(open, 2, {{0, 0}, {1, 0}});
  zeros.on_append(open);
  std::vector<float> two(2);
  open.score_all(zeros.view(), two);
  CHECK(two[0] == 0);
  CHECK(near(two[1], -.5));
}
