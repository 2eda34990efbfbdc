// TOVA, arXiv 2401.06104: a worked example by hand.
#include <weir/cache/eviction/tova.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/presets.hpp>
#include <weir/testing/policy_bench.hpp>
#include <weir/testing/probe_tokens.hpp>
#include "support/catch.hpp"

using indices = std::vector<std::uint64_t>;

namespace {

/// Five rows that the last must make forgotten, then the example's row.
template <class Bench>
void drive(Bench& b) {
  for (std::size_t n = 1; n <= 5; ++n) {
    b.append();
    std::vector<float> last_only(n, 0.0f);
    last_only.back() = 1;
    for (const std::size_t head : {0u, 1u}) b.observe(0, head, last_only);
  }
  b.append();
  b.observe(0, 0, std::vector<float>{.1f, .3f, .2f, .15f, .15f, .1f});
  b.observe(0, 1, std::vector<float>{.3f, .1f, .2f, .2f, .05f, .15f});
  b.decide();
}

const weir::kv_shape shape{.layers = 1, .q_heads = 2, .kv_heads = 2, .head_dim = 2};

}  // namespace

TEST_CASE("TOVA drops what the newest row attends to least, by the mean over a layer's heads") {
  // Means .2, .2, .2, .175, .1 and .125. Head 0 by itself would drop token 5.
  weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{5}}, shape);
  drive(b);
  CHECK(b.kept(0, 0) == indices{0, 1, 2, 3, 5});
  CHECK(b.kept(0, 1) == indices{0, 1, 2, 3, 5});
  CHECK(std::abs(b.note<0>(3, 0, 0, 0) - .15f) <= 1e-5f);
  CHECK(std::abs(b.note<0>(3, 0, 0, 1) - .2f) <= 1e-5f);
}

TEST_CASE("smaller budgets show the order of the mean row") {
  // .1, .125 and .175 go one after the other; of the three .2 the older ones stay.
  indices left{0, 1, 2, 3, 5};
  for (const std::uint64_t next : {5u, 3u, 2u}) {
    std::erase(left, next);
    weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{left.size()}}, shape, 6);
    drive(b);
    for (const std::size_t head : {0u, 1u}) CHECK(b.kept(0, head) == left);
  }
  // Nothing has gone: each head's row can be read, and their mean.
  weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{6}}, shape, 6);
  drive(b);
  const float mean[] = {.2f, .2f, .2f, .175f, .1f, .125f};
  for (std::uint64_t i = 0; i < 6; ++i)
    CHECK(std::abs((b.note<0>(i, 0, 0, 0) + b.note<0>(i, 0, 0, 1)) / 2 - mean[i]) <= 1e-5f);
}

TEST_CASE(
    "the authors' list pins nothing: what the newest row attends to least goes, be it itself") {
  const weir::presets::tova authors = weir::presets::recipes::tova::authors();
  CHECK(std::get<0>(authors.policies).budget == 0);
  CHECK(std::get<1>(authors.policies).budget == 512);
  // The rule read literally: one token comes, its row's mean over heads says who goes.
  constexpr std::size_t size = 6;
  const weir::kv_shape small{.layers = 1, .q_heads = 4, .kv_heads = 2, .head_dim = 8};
  weir::kv_cache<weir::f32, weir::presets::tova> cache(small, {weir::window{0}, weir::tova{size}},
                                                       {.max_rows = 1, .cadence = 1});
  std::vector<std::vector<float>> keys;  // [token] of both KV heads
  indices kept;
  bool newest_went = false;
  for (std::uint64_t t = 0; t < 60; ++t) {
    weir::testing::layer_rows x;
    const weir::testing::token_name name = 1000 + t;
    weir::testing::make_rows(small, std::span(&name, 1), 0, x);
    keys.push_back(x.k);
    kept.push_back(t);
    const weir::row row{};
    auto step = cache.begin(std::span(&row, 1));
    step.attend(0, x.q, x.k, x.v, x.out);
    step.commit();
    if (kept.size() > size) {
      std::vector<double> mean(kept.size(), 0.0);
      for (std::size_t h = 0; h < small.q_heads; ++h) {
        std::vector<double> weight;
        double sum = 0;
        for (const std::uint64_t i : kept) {
          double score = 0;
          for (std::size_t k = 0; k < small.head_dim; ++k)
            score += double{x.q[h * small.head_dim + k]} *
                     keys[i][h / small.group() * small.head_dim + k];
          weight.push_back(std::exp(score / std::sqrt(8.0)));
          sum += weight.back();
        }
        for (std::size_t i = 0; i < kept.size(); ++i) mean[i] += weight[i] / sum;
      }
      const auto least = std::min_element(mean.begin(), mean.end()) - mean.begin();
      newest_went = newest_went || kept[static_cast<std::size_t>(least)] == t;
      kept.erase(kept.begin() + least);
    }
    indices said;
    cache.for_each_index(0, 1, [&](weir::stream_index i) { said.push_back(i.value); });
    REQUIRE(said == kept);
  }
  CHECK(newest_went);
}

TEST_CASE("TOVA with a window of 1 never drops the newest token") {
  weir::testing::policy_bench<weir::keep<weir::window, weir::tova>> b(
      {weir::window{1}, weir::tova{1}}, shape, 6);
  drive(b);
  CHECK(b.kept().back() == 5);
  CHECK(b.kept().size() == 2);
}
