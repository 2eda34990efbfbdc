// Policies that look at keys alone, and at nothing: worked examples by hand.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/key_diversity.hpp>
#include <weir/cache/eviction/key_norm.hpp>
#include <weir/cache/eviction/random_tokens.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"

using indices = std::vector<std::uint64_t>;

namespace {

const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 2};
const std::vector<std::vector<float>> keys = {{1, 0}, {1, .1f},  {.9f, .2f},
                                              {0, 1}, {-1, .2f}, {1, .05f}};

std::vector<float> seen;

/// Remembers the scores.
struct watched_diversity : weir::key_diversity {
  void score_all(const weir::slots_view& view, std::span<float> score) const {
    weir::key_diversity::score_all(view, score);
    seen.assign(score.begin(), score.end());
  }
};

/// Takes the newest tokens: all it may, and after a while only two.
struct modest {
  std::size_t budget = 40;
  void select(weir::selection& open) const {
    const std::size_t wanted = open.view().boundary().value > 40 ? 2 : budget;
    for (std::size_t i = open.size(), n = 0; i-- > 0 && n < wanted; ++n) open.take(i);
  }
};

/// Entries at each boundary, and the sum of what was noted of all slots: 1 of each entry.
std::vector<std::size_t> entries;
std::vector<float> noted;
struct counting {
  std::size_t budget = 1;
  std::size_t notes(const weir::kv_shape&) const { return 1; }
  void on_append(const weir::slots_view& view, weir::slot s, const weir::token_info&) const {
    view.note(s) = 1;
  }
  void score_all(const weir::slots_view& view, std::span<float> score) const {
    std::ranges::fill(score, 0.0f);
    entries.push_back(view.size());
    noted.push_back(std::accumulate(view.notes().begin(), view.notes().end(), 0.0f));
  }
};

}  // namespace

TEST_CASE("nothing is noted at boundaries of slots without an entry") {
  weir::testing::policy_bench<weir::keep<modest, counting>> b({modest{}, counting{}}, shape, 4);
  for (std::size_t i = 0; i < 57; ++i) b.append();
  REQUIRE(entries.size() == 14);
  CHECK(*std::ranges::max_element(entries) == 44);
  CHECK(entries.back() == 7);
  for (std::size_t i = 0; i < entries.size(); ++i)
    CHECK(noted[i] == static_cast<float>(entries[i]));
}

TEST_CASE("the shortest keys stay (arXiv 2406.11430)") {
  weir::testing::policy_bench<weir::keep<weir::key_norm>> b({weir::key_norm{3}}, shape, 6);
  for (const auto& key : keys) b.append(key);
  b.decide();
  CHECK(b.kept() == indices{0, 2, 3});

  weir::testing::policy_bench<weir::keep<weir::key_norm>> all({weir::key_norm{6}}, shape, 6);
  for (const auto& key : keys) all.append(key);
  all.decide();
  const float norms[] = {1, 1.004988f, .921954f, 1, 1.019804f, 1.001249f};
  for (std::uint64_t i = 0; i < 6; ++i) CHECK(std::abs(all.note<0>(i) - norms[i]) <= 1e-5f);
}

TEST_CASE("the keys least like the mean direction stay (KeyDiff, arXiv 2504.15364)") {
  weir::testing::policy_bench<weir::keep<watched_diversity>> b({watched_diversity{{3}}}, shape, 6);
  for (const auto& key : keys) b.append(key);
  b.decide();
  CHECK(b.kept() == indices{0, 3, 4});
  REQUIRE(seen.size() == 6);
  const float cosines[] = {.886244f, .927938f, .965626f, .463219f, -.778189f, .908270f};
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(seen[i] + cosines[i]) <= 1e-5f);
}

TEST_CASE("the anchor is that of the entries still there, wherever they lie") {
  // Six more tokens take slots that were freed; what lay there must not count.
  weir::testing::policy_bench<weir::keep<watched_diversity>> b({watched_diversity{{3}}}, shape, 6);
  for (const auto& key : keys) b.append(key);
  std::vector<std::vector<float>> now = {keys[0], keys[3], keys[4]};
  for (std::size_t i = 0; i < 6; ++i) {
    now.push_back({.3f * static_cast<float>(i) - 1, .5f});
    b.append(now.back());
  }
  now[3] = {0, 0};
  b.set_key(0, 0, 6, now[3]);  // a key without direction
  b.decide();
  double anchor[2] = {};
  const auto norm = [](const std::vector<float>& k) {
    return std::hypot(double{k[0]}, double{k[1]});
  };
  for (const auto& k : now)
    for (std::size_t c = 0; c < 2; ++c)
      if (norm(k) > 0) anchor[c] += k[c] / norm(k);
  REQUIRE(seen.size() == now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    const double expected = norm(now[i]) > 0 ? (now[i][0] * anchor[0] + now[i][1] * anchor[1]) /
                                                   (norm(now[i]) * std::hypot(anchor[0], anchor[1]))
                                             : 0.0;
    CHECK(std::abs(seen[i] + expected) <= 1e-5);
  }
}

TEST_CASE("what lies in slots without entries moves no anchor") {
  // Slots 0 to 5 hold the example; slot 6 a key that nobody owns, of which nothing is noted.
  constexpr std::size_t slots = 7;
  std::vector<float> notes(slots), scratch(slots, 5.0f), room(2 * shape.head_dim);
  auto in_slots = keys;
  in_slots.push_back({-7, 9});
  const auto key = [&](weir::slot s, float* out) { std::ranges::copy(in_slots[s.value], out); };
  const auto dots = [&](const float* v, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t s = 0; s < slots; ++s)
        out[i * slots + s] = v[2 * i] * in_slots[s][0] + v[2 * i + 1] * in_slots[s][1];
  };
  const auto weighted = [&](const float* weight, float* out) {
    out[0] = out[1] = 0;
    for (std::size_t s = 0; s < slots; ++s)
      for (std::size_t c = 0; c < 2; ++c) out[c] += weight[s] * in_slots[s][c];
  };
  const auto similar = [](std::span<const weir::slot>, const float*, weir::similar_key*) {};
  const auto write = [](weir::slot, const float*, const float*) {};
  const weir::entry_access access{key, key, dots, weighted, similar, write};
  const std::uint32_t order[] = {0, 1, 2, 3, 4, 5};
  const std::uint64_t index[slots] = {0, 1, 2, 3, 4, 5, 0};
  weir::slots_view::record head;
  head.shape = &shape, head.boundary = 6, head.order = order, head.index = index;
  head.scratch = room;
  const weir::slots_view view(head, access, {notes, slots, {}, scratch});
  const weir::key_diversity policy{3};
  for (std::uint32_t s = 0; s < 6; ++s) policy.on_append(view, {s}, {});
  std::vector<float> score(6);
  policy.score_all(view, score);
  const float cosines[] = {.886244f, .927938f, .965626f, .463219f, -.778189f, .908270f};
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(score[i] + cosines[i]) <= 1e-5f);
}

TEST_CASE("a random token's score is drawn once, so that the largest of all stay in the end") {
  const weir::kv_shape wide{.layers = 2, .q_heads = 2, .kv_heads = 2, .head_dim = 2};
  std::set<indices> results;
  for (const std::uint64_t seed : {1u, 2u}) {
    weir::testing::policy_bench<weir::keep<weir::random_tokens>> b({weir::random_tokens{8, seed}},
                                                                   wide, 4);
    for (std::size_t i = 0; i < 64; ++i) b.append();
    b.decide();
    for (const std::uint64_t layer : {0u, 1u})
      for (const std::uint64_t head : {0u, 1u}) {
        const weir::random_source source{seed, layer << 32 | head};
        indices expected(64);
        for (std::uint64_t i = 0; i < 64; ++i) expected[i] = i;
        std::ranges::sort(expected, std::greater{}, [&](std::uint64_t i) {
          return source.uniform(weir::purpose::scoring, i);
        });
        expected.resize(8);
        std::ranges::sort(expected);
        CHECK(b.kept(layer, head) == expected);
        results.insert(expected);
      }
  }
  CHECK(results.size() == 8);
}
