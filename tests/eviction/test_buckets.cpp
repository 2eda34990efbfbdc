#include <weir/cache/eviction/buckets.hpp>
#include <weir/cache/eviction/observation_window.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/testing/policy_bench.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include "support/catch.hpp"

using weir::bucket_rule;

namespace {

using entries = std::vector<std::size_t>;

const std::vector<float> paper{.30f, .05f, .02f, .04f, .03f, .06f, .01f, .09f, .22f, .18f};

entries chosen(const bucket_rule& rule, const std::vector<float>& score, std::size_t wanted,
               entries candidates = {}) {
  if (candidates.empty())
    for (std::size_t i = 0; i < score.size(); ++i) candidates.push_back(i);
  std::vector<float> order, room(rule.ranges);
  for (const auto i : candidates) order.push_back(weir::detail::packed(i));
  entries out;
  weir::fill_buckets(rule, score, order, room, wanted, [&](std::size_t i) { out.push_back(i); });
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("what stays is spread over the stream") {
  CHECK(chosen({4, 1, 2}, paper, 4) == entries{0, 3, 5, 8});
  CHECK(chosen({4, 1, 0}, paper, 4) == entries{0, 3, 5, 8});
  CHECK(chosen({1, 4, 0}, paper, 4) == entries{0, 7, 8, 9});  // one range: the plain best
  CHECK(chosen({4, 1, 4}, paper, 4) == entries{0, 7, 8, 9});
  CHECK(chosen({4, 1, 3}, paper, 4) == entries{0, 5, 8, 9});  // 9 though its range is full
  CHECK(chosen({2, 2, 0}, paper, 4) == entries{0, 1, 8, 9});
}

TEST_CASE("ranges are cut evenly, and what they leave goes to the best of the rest") {
  // Ranges of ten entries: 0 1, 2 3 4, 5 6, 7 8 9. The youngest of each is its best.
  CHECK(chosen({4, 1, 0}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 4) == entries{1, 4, 6, 9});
  CHECK(chosen({4, 1, 0}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 6) == entries{1, 4, 6, 7, 8, 9});
  // Candidates 6 to 9 alone: a range each.
  CHECK(chosen({4, 1, 0}, paper, 3, {6, 7, 8, 9}) == entries{7, 8, 9});
  CHECK(chosen({2, 1, 0}, paper, 2, {6, 7, 8, 9}) == entries{7, 8});
  CHECK(chosen({4, 1, 0}, paper, 99) == entries{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(chosen({4, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 4) == entries{0, 2, 5, 7});
}

TEST_CASE("a layer's heads keep the same entries, spread by their mean votes") {
  weir::kv_shape shape;
  shape.layers = 1;
  shape.q_heads = shape.kv_heads = 2;
  shape.head_dim = 1;
  const weir::observation_window votes{4, 1, 0};
  weir::testing::policy_bench bench(weir::keep(weir::sinks{1}, weir::buckets(votes, 1, 2)), shape,
                                    11);
  for (int i = 0; i < 11; ++i) bench.append();
  std::vector<float> sink(1, .5f), other(1, .5f);
  // The heads' means are the worked example's, a place further on.
  for (std::size_t i = 0; i < 10; ++i) {
    sink.push_back(paper[i] * 2);
    other.push_back(0);
  }
  bench.observe(0, 0, sink);
  bench.observe(0, 1, other);
  bench.decide();
  CHECK(bench.kept(0, 0) == bench.kept(0, 1));
  // The voting row's own entry goes first, then the best; two ranges have room.
  CHECK(bench.kept(0, 0) == std::vector<std::uint64_t>{0, 1, 4, 6, 10});
}
