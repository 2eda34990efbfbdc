// How budgets are shared: exact totals, and the papers' worked numbers.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include <weir/cache/eviction/adaptive_heads.hpp>
#include <weir/cache/eviction/allocate.hpp>
#include <weir/cache/eviction/frame_diversity.hpp>
#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/observation_window.hpp>
#include <weir/cache/eviction/pyramid.hpp>
#include <weir/cache/eviction/variance_budgets.hpp>
#include <weir/testing/policy_bench.hpp>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::testing::hand_head;
using weir::testing::hand_scores;
using weir::testing::near;

namespace {

using shares = std::vector<std::size_t>;

std::size_t sum(const shares& s) { return std::accumulate(s.begin(), s.end(), std::size_t{0}); }

shares between(std::size_t total, const std::vector<double>& weight, const shares& least,
               const shares& most) {
  shares out(weight.size());
  weir::allocate(
      total, [&](std::size_t i) { return weight[i]; }, [&](std::size_t i) { return least[i]; },
      [&](std::size_t i) { return most[i]; }, out);
  return out;
}

shares allocated(std::size_t total, const std::vector<double>& weight, std::size_t least = 0) {
  return between(total, weight, shares(weight.size(), least), shares(weight.size(), total));
}

struct given_scores {
  std::size_t budget = 0;
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};

shares head_budgets(std::size_t base, float alpha, const hand_scores& scores) {
  shares out(scores.entries.size(), base);
  weir::adaptive_heads(given_scores{base}, alpha).allocate(scores.view(), out);
  return out;
}

}  // namespace

TEST_CASE("shares are whole, proportional and add up") {
  CHECK(allocated(10, {1, 1, 1}) == shares{4, 3, 3});  // ties: the lower number
  CHECK(allocated(10, {6, 3, 1}) == shares{6, 3, 1});
  CHECK(allocated(7, {.5, .25, .25}) == shares{3, 2, 2});
  CHECK(allocated(100, {7, 5, 3, 1}) == shares{44, 31, 19, 6});  // 43.75 31.25 18.75 6.25
  CHECK(allocated(5, {0, 0, 0}) == shares{2, 2, 1});
  CHECK(allocated(0, {1, 2}) == shares{0, 0});
  CHECK(allocated(9, {2}) == shares{9});
  CHECK(allocated(4, {}).empty());
}

TEST_CASE("weights that are no numbers count as none") {
  const double inf = std::numeric_limits<double>::infinity(),
               weight[] = {1, std::nan(""), inf, -inf, -2, 3};
  std::vector<std::size_t> share(6);
  weir::allocate(
      100, [&](std::size_t i) { return weight[i]; }, [](std::size_t) { return std::size_t{0}; },
      [](std::size_t) { return std::size_t{90}; }, share);
  CHECK(share == std::vector<std::size_t>{25, 0, 0, 0, 0, 75});
}

TEST_CASE("shares keep to their bounds") {
  CHECK(allocated(10, {100, 1, 1}, 2) == shares{6, 2, 2});
  CHECK(between(10, {8, 1, 1}, {0, 0, 0}, {4, 9, 9}) == shares{4, 3, 3});
  // The cap frees four, the floors take two: what is left goes by weight.
  CHECK(between(20, {10, 6, 3, 1}, {0, 0, 0, 3}, {6, 20, 20, 20}) == shares{6, 7, 4, 3});
  CHECK(between(6, {1, 0, 0}, {0, 0, 0}, {2, 9, 9}) == shares{2, 2, 2});
  CHECK(between(6, {1, 5}, {3, 3}, {3, 3}) == shares{3, 3});
}

TEST_CASE("shares add up and keep to their bounds whatever they are") {
  std::uint64_t x = 1;
  const auto draw = [&](std::size_t below) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(x >> 33) % below;
  };
  for (int round = 0; round < 2000; ++round) {
    const std::size_t n = 1 + draw(9);
    std::vector<double> weight(n);
    shares least(n), most(n);
    for (std::size_t i = 0; i < n; ++i) {
      weight[i] = draw(4) == 0 ? 0 : static_cast<double>(draw(1000)) / 7;
      least[i] = draw(20);
      most[i] = least[i] + draw(40);
    }
    const std::size_t total = sum(least) + draw(sum(most) - sum(least) + 1);
    const shares out = between(total, weight, least, most);
    REQUIRE(sum(out) == total);
    for (std::size_t i = 0; i < n; ++i) {
      REQUIRE(out[i] >= least[i]);
      REQUIRE(out[i] <= most[i]);
    }
  }
}

TEST_CASE("a pyramid's budgets are the paper's where those are whole") {
  weir::kv_shape shape;
  shape.layers = 4;
  const weir::pyramid narrow(weir::observation_window{8}, 4);
  const std::size_t expected[] = {14, 10, 6, 2};
  for (std::size_t l = 0; l < 4; ++l) CHECK(narrow.budget_for(shape, l, 0) == expected[l]);
  CHECK(weir::budget_of(narrow, shape, 3, 1) == 2);
  STATIC_REQUIRE(weir::signals_of<decltype(narrow)> == weir::signals::attention_probabilities);
}

TEST_CASE("a pyramid falls from layer to layer and keeps its mean") {
  CHECK(weir::pyramid{weir::observation_window{8}}.beta == 20);
  for (std::size_t layers = 1; layers < 40; ++layers)
    for (const std::size_t mean : {1u, 2u, 17u, 64u, 1000u})
      for (const std::size_t beta : {0u, 1u, 3u, 20u}) {
        std::size_t total = 0, before = 2 * mean;
        for (std::size_t l = 0; l < layers; ++l) {
          const std::size_t b = weir::pyramid_budget(mean, beta, layers, l);
          REQUIRE(b <= before);
          total += before = b;
        }
        REQUIRE(total == layers * mean);
        if (layers > 1 && beta > 0) REQUIRE(before == mean / beta);
      }
}

TEST_CASE("heads get what they win of a layer's entries, and the total is exact") {
  const hand_scores paper({{.5f, .3f, .1f, .05f}, {.4f, .02f, .02f, .01f}});
  const weir::winning_scores wins(paper.view(), 0, 2, 4);
  CHECK(wins.rank == weir::score_rank(.1f));
  CHECK(wins.ties == 1);
  CHECK(head_budgets(2, 0, paper) == shares{3, 1});
  CHECK(head_budgets(2, .2f, paper) == shares{3, 1});  // 2.8, 1.2; rounded apart: [2, 1]
  CHECK(head_budgets(2, .5f, paper) == shares{3, 1});  // 2.5, 1.5: the lower number
  CHECK(head_budgets(2, 1, paper) == shares{2, 2});
  const hand_scores greedy({{9, 8, 7, 6, 5, 4, 3, 2}, {1, 1, 1, 1, 1, 1, 1, 1}});
  CHECK(head_budgets(4, .5f, greedy) == shares{6, 2});
}

TEST_CASE("winning scores are ranked whatever their sign, and ties by head") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nothing = std::numeric_limits<float>::quiet_NaN();
  CHECK(head_budgets(1, 0, hand_scores({{-5, -3, -1}, {-2, -4, -6}})) == shares{1, 1});
  CHECK(head_budgets(1, 0, hand_scores({{-5, -3, -1}, {-8, -4, -6}})) == shares{2, 0});
  CHECK(head_budgets(1, 0, hand_scores({{0.f, -1, 7}, {-0.f, 3, -2}})) == shares{1, 1});
  CHECK(head_budgets(1, 0, hand_scores({{nothing, nothing}, {-100, 1}})) == shares{0, 2});
  CHECK(head_budgets(1, 0, hand_scores({{nothing, nothing}, {-infinity, 1}})) == shares{1, 1});
  CHECK(head_budgets(1, 0, hand_scores({{1, 1, 1}, {1, 1, 1}})) == shares{2, 0});
  CHECK(head_budgets(2, 0, hand_scores({{infinity, 1, 1}, {1, 1, 1}})) == shares{3, 1});
  CHECK(head_budgets(2, 0, hand_scores({{2, 2, 1}, {2, 2, 1}, {1, 9, 9}})) == shares{2, 2, 2});
}

TEST_CASE("no head gets more than it has to choose from") {
  hand_scores scores({{9, 8, 7, 6}, {1, 2, 3, 4}});
  scores.taken = {1, 1, 1, 0, 0, 0, 0, 0};
  CHECK(head_budgets(2, .2f, scores) == shares{1, 3});
  CHECK(head_budgets(2, 1, scores) == shares{1, 3});
  // Everything fits: all of it, and the total as promised.
  const shares roomy = head_budgets(5, .2f, scores);
  CHECK(sum(roomy) == 10);
  CHECK(roomy[0] >= 1);
  CHECK(roomy[1] >= 4);
}

TEST_CASE("more heads than models have are counted alike") {
  std::vector<std::vector<float>> heads(100, std::vector<float>(6));
  for (std::size_t h = 0; h < heads.size(); ++h)
    for (std::size_t i = 0; i < 6; ++i) heads[h][i] = static_cast<float>((h * 37 + i * 53) % 101);
  const hand_scores scores(heads);
  const shares all = head_budgets(3, 0, scores);
  CHECK(sum(all) == 300);
  std::vector<float> sorted = scores.score;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  std::size_t left = 300;
  for (std::size_t h = 0; h < 100; ++h)
    left -= static_cast<std::size_t>(
        std::count_if(heads[h].begin(), heads[h].end(), [&](float x) { return x > sorted[299]; }));
  for (std::size_t h = 0; h < 100; ++h) {
    std::size_t wins = 0;
    for (const float x : heads[h]) wins += x > sorted[299] || (x == sorted[299] && left-- > 0);
    CHECK(all[h] == wins);
    if (left > 300) left = 0;
  }
}

TEST_CASE("layers share as the softmax of minus their variances") {
  // rho = .2 of 100,000 tokens: r = .129990 .193923 .261769 .214318, whose mean is rho.
  weir::kv_shape shape;
  shape.layers = 4;
  shape.kv_heads = 1;
  const std::vector<double> spread{.9, .5, .2, .4};
  CHECK(allocated(80000, {std::exp(-.9), std::exp(-.5), std::exp(-.2), std::exp(-.4)}) ==
        shares{12999, 19392, 26177, 21432});
  // Two heads whose scaled variances have those means do not exist; ten do.
  shape.kv_heads = 10;
  std::vector<float> variance;
  for (const double v : spread)
    for (int h = 0; h < 10; ++h) variance.push_back(h < std::lround(10 * v) ? 3e6f : 1e6f);
  shares out(4);
  weir::variance_budgets(weir::heavy_hitters{20000}, false).allocate_layers(shape, variance, out);
  CHECK(out == shares{12999, 19392, 26177, 21432});
}

TEST_CASE("protected layers get at least the mean") {
  weir::kv_shape shape;
  shape.layers = 5;
  shape.kv_heads = 2;
  const std::vector<float> variance{0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
  shares out(5);
  const weir::variance_budgets even(weir::heavy_hitters{100});
  even.allocate_layers(shape, variance, out);
  CHECK(out == shares{100, 100, 100, 100, 100});
  const std::vector<float> uneven{0, 1, 0, 1, 0, 0, 0, 0, 0, 1};
  even.allocate_layers(shape, uneven, out);
  CHECK(out == shares{100, 100, 100, 100, 100});
  weir::variance_budgets(weir::heavy_hitters{100}, false).allocate_layers(shape, uneven, out);
  CHECK(sum(out) == 500);
  CHECK(out[2] == out[3]);
  CHECK(out[2] > 100);
  CHECK(out[0] < 100);
  shape.layers = 1;
  shares one(1);
  even.allocate_layers(shape, {variance.data(), 2}, one);
  CHECK(one == shares{100});
}

TEST_CASE("no layer gets more than e times the mean, for which there is room") {
  weir::kv_shape shape;
  shape.layers = 400;
  shape.kv_heads = 10;
  std::vector<float> variance;  // V is .9 of all layers but one
  for (std::size_t layer = 0; layer < shape.layers; ++layer)
    for (int h = 0; h < 10; ++h) variance.push_back(layer > 0 && h < 9 ? 1.0f : 0.0f);
  shares out(shape.layers);
  const weir::variance_budgets policy(weir::heavy_hitters{100}, false);
  policy.allocate_layers(shape, variance, out);
  CHECK(sum(out) == 40000);
  CHECK(out[0] == 245);  // e^.9 of the mean, nearly
  CHECK(policy.max_layer_budget(shape) == 272);
  shape.layers = 2;
  CHECK(policy.max_layer_budget(shape) == 200);
  shape.layers = 400;
  const weir::frame_diversity frames{.budget = 100, .temperature = 0.5f};
  std::vector<float> similarity(shape.total_kv_heads(), 1.0f);
  std::fill_n(similarity.begin(), 10, 0.0f);
  frames.allocate_layers(shape, similarity, out);
  CHECK(sum(out) == 40000);
  CHECK(out[0] == 727);  // e² of the mean, nearly
  CHECK(frames.max_layer_budget(shape) == 739);
  CHECK(weir::frame_diversity{.budget = 100, .temperature = 1e-9f}.max_layer_budget(shape) ==
        40000);
}

TEST_CASE("a head reports the variance of its base's finite scores") {
  const weir::variance_budgets policy(weir::heavy_hitters{2});
  hand_head head(policy, 1, {{0}, {0}, {0}, {0}});
  const auto view = head.view();
  const float column_sum[] = {2, 4, 4, 6};
  for (std::size_t i = 0; i < 4; ++i) view.note(head.at(i)) = column_sum[i];
  CHECK(near(policy.layer_statistic(view), 2));
  view.note(head.at(3)) = std::numeric_limits<float>::infinity();
  CHECK(near(policy.layer_statistic(view), 8.0 / 9));

  // A base that scores all entries at once works in arrays of its own.
  const weir::variance_budgets pooled(weir::observation_window{2, 1, 0});
  hand_head other(pooled, 1, {{0}, {0}, {0}, {0}});
  const auto votes = other.view();
  for (std::size_t i = 0; i < 4; ++i) votes.note(other.at(i)) = column_sum[i];
  CHECK(pooled.scratch(other.shape) == 2);
  CHECK(near(pooled.layer_statistic(votes), 8.0 / 9));  // the last row's own entry comes first
}

TEST_CASE("budgets by layer and by head compose") {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 2;
  shape.head_dim = 1;
  const weir::adaptive_heads policy(weir::pyramid(weir::heavy_hitters{4}, 2), 0);
  weir::testing::policy_bench bench(weir::keep{policy}, shape, 8);
  for (int i = 0; i < 8; ++i) bench.append();
  for (std::size_t layer = 0; layer < 2; ++layer) {
    bench.observe(layer, 0, std::vector<float>{8, 1, 7, 2, 6, 3, 5, 4});
    bench.observe(layer, 1, std::vector<float>{9, 1, 1, 2, 1, 1, 1, 1});
  }
  bench.decide();
  // Layer 0 has 2 · 6 entries, layer 1 has 2 · 2.
  using indices = std::vector<std::uint64_t>;
  CHECK(bench.kept(0, 0).size() + bench.kept(0, 1).size() == 12);
  CHECK(bench.kept(0, 0) == indices{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(bench.kept(0, 1) == indices{0, 1, 2, 3});
  CHECK(bench.kept(1, 0) == indices{0, 2, 4});
  CHECK(bench.kept(1, 1) == indices{0});
}

TEST_CASE("layers' budgets follow what their heads reported at the boundary before") {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 2;
  shape.head_dim = 1;
  weir::testing::policy_bench bench(
      weir::keep(weir::variance_budgets(weir::heavy_hitters{4}, false)), shape, 8);
  const auto interval = [&] {
    for (int i = 0; i < 8; ++i) bench.append();
    for (std::size_t layer = 0; layer < 2; ++layer)
      for (std::size_t head = 0; head < 2; ++head) {
        std::vector<float> row(bench.kept(layer, head).size(), .1f);
        // Layer 1: no head's attention is more peaked than the other's.
        if (layer == 0 && head == 0) row[0] = 100;
        bench.observe(layer, head, row);
      }
    bench.decide();
    return shares{bench.kept(0, 0).size(), bench.kept(0, 1).size(), bench.kept(1, 0).size(),
                  bench.kept(1, 1).size()};
  };
  CHECK(interval() == shares{4, 4, 4, 4});
  // V = .5 and 0: 8 · .377541 = 3.02 entries and 4.98.
  CHECK(interval() == shares{3, 3, 5, 5});
}
