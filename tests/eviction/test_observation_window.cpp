// SnapKV, arXiv 2404.14469: a worked example by hand.
#include <weir/cache/eviction/observation_window.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"

using weir::observation_window, weir::vote_pooling, weir::window;
using indices = std::vector<std::uint64_t>;
using keep_type = weir::keep<window, observation_window>;
using bench = weir::testing::policy_bench<keep_type>;

namespace {

const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 2};

/// The example's last two rows, behind others that do not vote.
void drive(bench& b) {
  for (std::size_t n = 1; n <= 4; ++n) {
    b.append();
    b.observe(0, 0, std::vector<float>(n, 1.0f));
  }
  b.append();
  b.observe(0, 0, std::vector<float>{.30f, .05f, .20f, .25f, .20f});
  b.append();
  b.observe(0, 0, std::vector<float>{.10f, .15f, .05f, .30f, .15f, .25f});
}

}  // namespace

TEST_CASE("the last rows vote, and votes are pooled over neighbours") {
  const auto kept = [](const observation_window& policy) {
    bench b({window{2}, policy}, shape, 6);
    drive(b);
    const float expected[] = {.4f, .2f, .25f, .55f};
    for (std::uint64_t i = 0; i < 4; ++i) CHECK(std::abs(b.note<1>(i) - expected[i]) <= 1e-5f);
    b.decide();
    return b.kept();
  };
  CHECK(kept({.budget = 2, .rows = 2, .pool_radius = 1}) == indices{1, 2, 4, 5});
  CHECK(kept({.budget = 2, .rows = 2, .pool_radius = 0}) == indices{0, 3, 4, 5});
  CHECK(kept({.budget = 2, .rows = 2, .pool_radius = 1, .pooling = vote_pooling::max}) ==
        indices{2, 3, 4, 5});
}

namespace {

std::vector<float> seen;

/// Remembers the scores.
struct watched : observation_window {
  void score_all(const weir::slots_view& view, std::span<float> score) const {
    observation_window::score_all(view, score);
    seen.assign(score.begin(), score.end());
  }
};

}  // namespace

TEST_CASE(
    "averages divide by the whole kernel at the ends, and the window's own tokens rank first") {
  const auto check = [](vote_pooling pooling, const std::vector<float>& votes,
                        const indices& expected) {
    weir::testing::policy_bench<weir::keep<watched>> b(
        {watched{{.budget = 4, .rows = 2, .pool_radius = 1, .pooling = pooling}}}, shape, 6);
    for (std::size_t n = 1; n <= 5; ++n) b.append();
    b.observe(0, 0, std::vector<float>{.30f, .05f, .20f, .25f, .20f});
    b.append();
    b.observe(0, 0, std::vector<float>{.10f, .15f, .05f, .30f, .15f, .25f});
    b.decide();
    REQUIRE(seen.size() == 6);
    for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(seen[i] - votes[i]) <= 1e-5f);
    CHECK(b.kept() == expected);
  };
  check(vote_pooling::average, {.2f, .283333f, .333333f, .266667f}, {1, 2, 4, 5});
  check(vote_pooling::max, {.4f, .4f, .55f, .55f}, {2, 3, 4, 5});
}

TEST_CASE("votes are counted anew in every interval") {
  bench b({window{2}, observation_window{.budget = 2, .rows = 2, .pool_radius = 0}}, shape, 6);
  drive(b);
  b.decide();
  REQUIRE(b.kept() == indices{0, 3, 4, 5});
  for (std::size_t n = 5; n <= 9; ++n) {
    b.append();
    std::vector<float> p(n, 0.0f);
    if (n == 9) p[2] = .5f, p[1] = .25f;  // token 4 gets most, then token 3
    b.observe(0, 0, p);
  }
  b.append();
  b.observe(0, 0, std::vector<float>{0, .25f, .25f, 0, 0, 0, 0, 0, 0, .5f});
  CHECK(b.note<1>(0) == 0);
  CHECK(b.note<1>(3) == .5f);
  CHECK(b.note<1>(4) == .75f);
  b.decide();
  CHECK(b.kept() == indices{3, 4, 10, 11});
}
