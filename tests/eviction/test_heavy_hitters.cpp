// H2O, arXiv 2306.14048: a worked example by hand.
#include <weir/cache/eviction/heavy_hitters.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <weir/cache/eviction/by_largest.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"

using weir::heavy_hitters, weir::heavy_sum, weir::window;
using keep_type = weir::keep<window, heavy_hitters>;
using bench = weir::testing::policy_bench<keep_type>;
using indices = std::vector<std::uint64_t>;

namespace {

const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 2};

void row(bench& b, const std::vector<float>& probabilities) {
  b.append();
  b.observe(0, 0, probabilities);
}

void check_sums(const bench& b, const indices& entries, const std::vector<float>& expected) {
  REQUIRE(entries.size() == expected.size());
  for (std::size_t i = 0; i < entries.size(); ++i)
    CHECK(std::abs(b.note<1>(entries[i]) - expected[i]) <= 1e-5f);
}

}  // namespace

TEST_CASE("heavy hitters gather attention from their own row on, and the largest sums stay") {
  bench b({window{2}, heavy_hitters{2}}, shape);
  for (const std::vector<float>& p :
       std::vector<std::vector<float>>{{1}, {.6f, .4f}, {.5f, .2f, .3f}, {.4f, .1f, .3f, .2f}})
    row(b, p);
  check_sums(b, {0, 1, 2, 3}, {2.5f, .7f, .6f, .2f});

  row(b, {.3f, .05f, .35f, .1f, .2f});
  check_sums(b, {0, 1, 2, 3, 4}, {2.8f, .75f, .95f, .3f, .2f});
  b.decide();
  CHECK(b.kept() == indices{0, 2, 3, 4});

  row(b, {.2f, .1f, .5f, .1f, .1f});
  check_sums(b, {0, 2, 3, 4, 5}, {3.0f, 1.05f, .8f, .3f, .1f});
  b.decide();
  CHECK(b.kept() == indices{0, 2, 4, 5});
  check_sums(b, {0, 2, 4, 5}, {3.0f, 1.05f, .3f, .1f});
}

TEST_CASE("per row, a young entry beats an old one that gathered more in a longer life") {
  // Behind row 3 the sums are 1.6, .9, .7 and .8, gathered in 4, 3, 2 and 1 rows.
  const std::vector<std::vector<float>> rows = {
      {.6f}, {.4f, .3f}, {.3f, .3f, .4f}, {.3f, .3f, .3f, .8f}};
  for (const auto by : {heavy_sum::plain, heavy_sum::per_row}) {
    bench b({window{0}, heavy_hitters{2, by}}, shape, 4);
    for (const auto& p : rows) row(b, p);
    b.decide();
    CHECK(b.kept() == (by == heavy_sum::plain ? indices{0, 1} : indices{0, 3}));
  }
}

TEST_CASE("around another policy, the largest of the query heads counts") {
  std::vector<float> notes(2), mean = {.5f, .2f}, largest = {.6f, .9f};
  const std::vector<std::uint64_t> of_slots = {0, 1};
  const weir::kv_shape two{.layers = 1, .q_heads = 2, .kv_heads = 1, .head_dim = 8};
  weir::observed_row::record record;
  record.probabilities = mean;
  record.largest = largest;
  const weir::observed_row seen(two, 0, 0, record, of_slots, {notes, 2, {}, {}, 2});
  weir::heavy_hitters{4}.observe(seen);
  CHECK(notes == mean);
  weir::by_largest(weir::heavy_hitters{4}).observe(seen);
  CHECK(notes == std::vector<float>{.5f + .6f, .2f + .9f});
}
