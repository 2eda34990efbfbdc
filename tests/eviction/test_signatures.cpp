#include <weir/cache/eviction/block_signatures.hpp>
#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/signatures.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/testing/policy_bench.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::signature_anchor;
using weir::signatures;
using weir::testing::hand_head;
using weir::testing::hand_scores;

namespace {

using entries = std::vector<std::size_t>;

/// Scores as given; the hooks around them are what is tested.
struct given_scores {
  std::size_t budget = 0;
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};

entries representatives(const entries& candidates, std::vector<float> distance, std::size_t n) {
  std::vector<float> order;
  for (const auto i : candidates) order.push_back(weir::detail::packed(i));
  entries out;
  weir::for_each_representative(order, distance, n, [&](std::size_t i) { out.push_back(i); });
  return out;
}

template <class Policy>
entries chosen(const Policy& policy, hand_scores scores, std::vector<std::uint8_t> taken = {}) {
  const std::size_t n = scores.entries[0];
  hand_head head(policy, 1, std::vector<std::vector<float>>(n, {0}));
  taken.resize(n);
  for (std::size_t h = 0; h < scores.entries.size(); ++h)
    std::copy(taken.begin(), taken.end(), scores.taken.begin() + static_cast<long>(h * n));
  const auto before = taken;
  const auto view = head.view();
  weir::selection open(view, taken, policy.budget);
  policy.choose(scores.view(), open);
  entries out;
  for (std::size_t i = 0; i < n; ++i)
    if (taken[i] && !before[i]) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("representatives are taken at even steps of the order by distance") {
  const std::string signature[] = {"1111", "1010", "0101", "1110", "0001", "0110", "1000", "0011"};
  std::vector<float> distance(8);
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t h = 0; h < 4; ++h) distance[i] += signature[i][h] != "1010"[h];
  const entries dropped{1, 2, 4, 5, 6, 7};
  CHECK(representatives(dropped, distance, 6) == entries{1, 6, 5, 7, 4, 2});
  CHECK(representatives(dropped, distance, 3) == entries{1, 5, 4});
  CHECK(representatives(dropped, distance, 4) == entries{1, 6, 5, 7});
  CHECK(representatives(dropped, distance, 1) == entries{1});
  CHECK(representatives(dropped, distance, 9) == entries{1, 6, 5, 7, 4, 2});
  CHECK(representatives(dropped, distance, 0).empty());
  CHECK(representatives({}, distance, 2).empty());
}

TEST_CASE("the base's best stay by mean score, and representatives by what heads would keep") {
  // Each head alone would keep three. Bits by entry: 11 10 01 01 00 10 00 00.
  const hand_scores scores({{9, 8, 1, 0, 2, 7, 3, 0}, {9, 0, 8, 7, 2, 1, 1, 0}});
  const auto with = [&](std::size_t budget, std::size_t r, signature_anchor a,
                        std::vector<std::uint8_t> taken = {}) {
    return chosen(signatures<given_scores>(given_scores{budget}, r, a), scores, taken);
  };
  using enum signature_anchor;
  CHECK(with(3, 0, zeros) == entries{0, 1, 2});
  CHECK(with(3, 2, zeros) == entries{0, 1, 4});             // of 4 6 7 1 2 3 5
  CHECK(with(3, 2, ones) == entries{0, 1, 5});              // of 1 2 3 5 4 6 7
  CHECK(with(3, 2, alternating) == entries{0, 2, 6});       // of 2 3 4 6 7 1 5
  CHECK(with(4, 2, mean) == entries{0, 2, 4, 7});           // half is no majority: of 7 1 3 4 5 6
  CHECK(with(6, 2, mean) == entries{0, 1, 2, 3, 4, 5});     // of 4 6 3 7
  CHECK(with(3, 2, alternating, {1}) == entries{1, 2, 3});  // of 3 4 7 1 5 6
  CHECK(with(3, 9, ones) == entries{0, 2, 5});              // nothing but representatives
  CHECK(with(20, 2, ones) == entries{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("blocks stay by their sums, and representatives by which of their tokens stand out") {
  // The better half stands out: 10 00 11 01; sums 1.0 .5 1.5 .45.
  const hand_scores scores({{.9f, .1f, .2f, .3f, .8f, .7f, .05f, .4f}});
  const auto with = [&](std::size_t budget, std::size_t r, signature_anchor a,
                        std::vector<std::uint8_t> taken = {}) {
    return chosen(weir::block_signatures<given_scores>(given_scores{budget}, 2, r, a), scores,
                  taken);
  };
  using enum signature_anchor;
  CHECK(with(2, 0, mean) == entries{4, 5});  // the base alone
  CHECK(with(4, 0, mean) == entries{0, 1, 4, 5});
  // Distances 1 0 2 1: of blocks 1 0 3, which remain, the first two.
  CHECK(with(6, 2, mean) == entries{0, 1, 2, 3, 4, 5});
  CHECK(with(6, 2, alternating) == entries{2, 3, 4, 5, 6, 7});  // 2 1 1 0: of 3 1 0
  CHECK(with(6, 2, ones) == entries{0, 1, 4, 5, 6, 7});         // 1 2 0 1: of 0 3 1
  CHECK(with(4, 1, zeros) == entries{2, 3, 4, 5});              // 1 0 2 1: of 1 0 3
  CHECK(with(4, 2, ones) == entries{4, 5, 6, 7});               // of 2 0 3 1, every second
  CHECK(with(8, 9, mean) == entries{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(with(7, 0, mean) == entries{0, 1, 2, 3, 4, 5});  // no half blocks
  // What another policy selects is no candidate; the rest of its block is a block.
  CHECK(with(3, 0, mean, {0, 0, 0, 0, 1}) == entries{0, 1, 5});
  CHECK(with(8, 1, ones, {0, 0, 0, 0, 1}) == entries{0, 1, 2, 3, 5, 6, 7});
}

TEST_CASE("blocks are at least a token and at most the budget") {
  const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 4};
  const auto bench = [&](std::size_t budget, std::size_t block) {
    weir::testing::policy_bench(
        weir::keep(weir::block_signatures<weir::heavy_hitters>({budget}, block, 1)), shape, 8);
  };
  CHECK_THROWS_WITH(bench(8, 0),
                    "block_signatures: blocks of 0 tokens (expected 1 to 8, the budget)");
  CHECK_THROWS_WITH(bench(8, 9),
                    "block_signatures: blocks of 9 tokens (expected 1 to 8, the budget)");
  CHECK_THROWS_WITH(bench(4096, 1025),
                    "block_signatures: blocks of 1025 tokens (expected 1 to 1024)");
  CHECK_NOTHROW(bench(8, 8));
}

TEST_CASE("a layer's heads keep the same entries") {
  weir::kv_shape shape;
  shape.layers = 2;
  shape.q_heads = shape.kv_heads = 2;
  shape.head_dim = 1;
  weir::testing::policy_bench bench(
      weir::keep(weir::sinks{1},
                 signatures<weir::heavy_hitters>({3}, 2, signature_anchor::alternating)),
      shape, 8);
  for (int i = 0; i < 8; ++i) bench.append();
  for (std::size_t layer = 0; layer < 2; ++layer) {
    bench.observe(layer, 0, std::vector<float>{9, 8, 1, 0, 2, 7, 3, 0});
    bench.observe(layer, 1, std::vector<float>{9, 0, 8, 7, 2, 1, 1, 0});
  }
  bench.decide();
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::size_t head = 0; head < 2; ++head)
      CHECK(bench.kept(layer, head) == std::vector<std::uint64_t>{0, 1, 2, 3});
}

TEST_CASE("anchors are what they are called") {
  const auto bits = [](signature_anchor a, bool majority, std::uint64_t seed = 0) {
    std::string out;
    for (std::size_t h = 0; h < 64; ++h) out += weir::anchor_bit(a, h, majority, seed) ? '1' : '0';
    return out;
  };
  CHECK(bits(signature_anchor::zeros, true) == std::string(64, '0'));
  CHECK(bits(signature_anchor::ones, false) == std::string(64, '1'));
  CHECK(bits(signature_anchor::mean, true) == std::string(64, '1'));
  CHECK(bits(signature_anchor::mean, false) == std::string(64, '0'));
  CHECK(bits(signature_anchor::alternating, true).substr(0, 4) == "0101");
  const auto random = bits(signature_anchor::random, false, 1);
  CHECK(random == bits(signature_anchor::random, true, 1));
  CHECK(random != bits(signature_anchor::random, false, 2));
  const auto ones = std::count(random.begin(), random.end(), '1');
  CHECK(ones > 16);
  CHECK(ones < 48);
}
