// Who keeps what at a boundary: order of policies, ties, NaN, budgets; and what each policy may be.
#include <weir/cache/codec/concept.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/position/positions.hpp>
#include <weir/cache/retention/selection_round.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "cache/any_cache.hpp"
#include "support/catch.hpp"

namespace {

using weir_test::longest_keys;

/// Scores each token by a table over stream indices.
struct table {
  std::size_t budget = 0;
  std::vector<float> by_index;
  float score(const weir::slots_view& view, weir::slot s) const {
    return by_index[view.index(s).value];
  }
};

/// Takes every `step`-th entry, and tries to take too much.
struct greedy {
  std::size_t budget = 0;
  std::size_t step = 1;
  void select(weir::selection& c) const {
    for (std::size_t i = 0; i < c.size(); i += step) {
      const bool free = !c.is_taken(i) && c.left() > 0;
      if (c.take(i) != free) throw 1;
      if (c.take(i)) throw 2;  // taken now, or nothing left
    }
  }
};

struct no_budget {
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};
struct nothing_to_say {
  std::size_t budget = 0;
};
struct two_minds {
  std::size_t budget = 0;
  static constexpr weir::anchor end = weir::anchor::last;
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};
struct no_positions {};

static_assert(weir::positional_policy<weir::sinks> && weir::positional_policy<weir::window>);
static_assert(!weir::positional_policy<longest_keys> && !weir::positional_policy<greedy>);
static_assert(weir::scoring_policy<longest_keys> && weir::scoring_policy<table>);
static_assert(!weir::scoring_policy<weir::sinks> && !weir::scoring_policy<greedy>);
static_assert(!weir::scoring_policy<no_budget>);
static_assert(weir::selecting_policy<greedy> && !weir::selecting_policy<weir::window>);
static_assert(!weir::selecting_policy<longest_keys>);
static_assert(weir::has_budget<nothing_to_say> && !weir::has_budget<no_budget>);
static_assert(weir::eviction_policy<weir::sinks> && weir::eviction_policy<weir::window>);
static_assert(weir::eviction_policy<longest_keys> && weir::eviction_policy<greedy>);
static_assert(!weir::eviction_policy<nothing_to_say> && !weir::eviction_policy<no_budget>);
static_assert(!weir::eviction_policy<two_minds> && !weir::eviction_policy<int>);
static_assert(weir::kv_codec<weir::f32> && weir::kv_codec<weir::f16> && weir::kv_codec<weir::bf16>);
static_assert(!weir::kv_codec<int> && !weir::kv_codec<double> && !weir::kv_codec<weir::sinks>);
static_assert(weir::position_policy<weir::positions::original>);
static_assert(weir::position_policy<weir::positions::within_cache>);
static_assert(!weir::position_policy<int> && !weir::position_policy<no_positions>);
static_assert(weir::is_keep<weir::keep_all> && weir::is_keep<weir::keep<weir::window>>);
static_assert(!weir::is_keep<weir::window> && !weir::is_keep<int>);
static_assert(weir::is_positional_keep<weir::keep_all>);
static_assert(weir::is_positional_keep<weir::keep<weir::sinks, weir::window>>);
static_assert(!weir::is_positional_keep<weir::keep<weir::window, longest_keys>>);
static_assert(!weir::is_positional_keep<weir::keep<greedy>>);

/// Policies that remember nothing.
template <class Keep>
struct members_budgets {
  const Keep& keep;
  weir::entry_memory memory(std::size_t, const weir::deciding_head&) const { return {}; }
  std::size_t budget(std::size_t m, std::size_t) const {
    std::size_t i = 0, found = 0;
    keep.for_each([&](const auto& policy) { found = i++ == m ? policy.budget : found; });
    return found;
  }
  void set_layer_statistic(std::size_t, std::size_t, float) const {}
};

/// Stream indices that stay of `indices`, which lie in slots of falling number.
template <class... Policies>
std::vector<std::uint64_t> stay(const weir::keep<Policies...>& keep,
                                const std::vector<std::uint64_t>& indices,
                                std::uint64_t first_index = 0) {
  const std::size_t n = indices.size();
  std::vector<std::uint32_t> order(n), ranking(n);
  std::vector<std::uint64_t> index(n);
  std::vector<float> scratch(2), score(n);
  std::vector<std::uint8_t> taken(n, 7);
  for (std::size_t i = 0; i < n; ++i) {
    order[i] = static_cast<std::uint32_t>(n - 1 - i);
    index[order[i]] = indices[i];
  }
  // Keys are as long as their stream index mod 10, values as their index.
  const auto key = [&](weir::slot s, float* x) { *x = -static_cast<float>(index[s.value] % 10); };
  const auto value = [&](weir::slot s, float* x) { *x = static_cast<float>(index[s.value]); };
  const auto dots = [](const float*, std::size_t, float*) {};
  const auto weighted = [](const float*, float*) {};
  const auto similar = [](std::span<const weir::slot>, const float*, weir::similar_key*) {};
  const auto write = [](weir::slot, const float*, const float*) {};
  const weir::entry_access access{key, value, dots, weighted, similar, write};
  const weir::kv_shape shape{.layers = 1, .q_heads = 1, .kv_heads = 1, .head_dim = 1};
  const weir::deciding_head head{.seen = {.shape = &shape,
                                          .layer = 3,
                                          .kv_head = 1,
                                          .first_index = first_index,
                                          .order = order,
                                          .index = index,
                                          .scratch = scratch},
                                 .access = &access,
                                 .taken = taken,
                                 .score = score,
                                 .ranking = ranking};
  weir::executor alone;
  selection_round(keep, std::span(&head, 1), n, members_budgets<weir::keep<Policies...>>{keep},
                  alone);
  std::vector<std::uint64_t> left;
  for (std::size_t i = 0; i < n; ++i)
    if (taken[i] != 0) left.push_back(indices[i]);
  return left;
}

std::vector<std::uint64_t> up_to(std::uint64_t n) {
  std::vector<std::uint64_t> all(n);
  std::iota(all.begin(), all.end(), std::uint64_t{0});
  return all;
}

using token_indices = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("policies select in order, each from what is left") {
  const weir::sinks first{2};
  const weir::window last{3};
  const longest_keys longest{2};
  CHECK(stay(weir::keep(first, last), up_to(10)) == token_indices{0, 1, 7, 8, 9});
  // 9 and 8 are the longest; the window then takes the last three of the others.
  CHECK(stay(weir::keep(longest, last), up_to(10)) == token_indices{5, 6, 7, 8, 9});
  CHECK(stay(weir::keep(last, longest), up_to(10)) == token_indices{5, 6, 7, 8, 9});
  CHECK(stay(weir::keep(first, last, longest), up_to(10)) == token_indices{0, 1, 5, 6, 7, 8, 9});
  CHECK(stay(weir::keep(longest, first), up_to(20)) == token_indices{0, 1, 9, 19});
}

TEST_CASE("sinks named twice select twice as many, whoever selects in between") {
  CHECK(stay(weir::keep(weir::sinks{2}, weir::sinks{3}, longest_keys{1}), up_to(20)) ==
        token_indices{0, 1, 2, 3, 4, 9});
  CHECK(stay(weir::keep(weir::sinks{1}, longest_keys{1}, weir::sinks{1}), up_to(20)) ==
        token_indices{0, 1, 9});
}

TEST_CASE("sinks are the stream's first tokens, not the oldest that are left") {
  CHECK(stay(weir::keep(weir::sinks{4}, longest_keys{1}), {0, 2, 17, 18, 19}) ==
        token_indices{0, 2, 19});
  const std::uint64_t first = std::uint64_t{1} << 32;
  CHECK(stay(weir::keep(weir::sinks{2}, weir::window{1}), {first, first + 1, first + 7, first + 8},
             first) == token_indices{first, first + 1, first + 8});
}

TEST_CASE("on ties the older token wins") {
  CHECK(stay(weir::keep(longest_keys{3}), up_to(30)) == token_indices{9, 19, 29});
  CHECK(stay(weir::keep(longest_keys{4}), up_to(30)) == token_indices{8, 9, 19, 29});
  CHECK(stay(weir::keep(longest_keys{2}), up_to(30)) == token_indices{9, 19});
  CHECK(stay(weir::keep(table{3, std::vector<float>(50, 1.0f)}), up_to(50)) ==
        token_indices{0, 1, 2});
  CHECK(stay(weir::keep(table{2, {0.0f, -0.0f, 0.0f}}), up_to(3)) == token_indices{0, 1});
}

TEST_CASE("a rank parts the smallest from the others, whatever there is") {
  std::uint32_t state = 1;
  const auto random = [&](std::size_t) { return state = state * 1664525u + 1013904223u; };
  const auto alike = [](std::size_t) { return 0xFFFFFFFFu; };
  const auto few = [&](std::size_t i) { return random(i) >> 30; };
  const auto falling = [](std::size_t i) { return 0x80000010u - static_cast<std::uint32_t>(i); };
  for (const std::size_t size : {1u, 2u, 15u, 16u, 17u, 100u, 1056u}) {
    const auto check = [&](auto rank) {
      std::vector<std::uint32_t> ranks(size);
      for (std::size_t i = 0; i < size; ++i) ranks[i] = rank(i);
      const auto [low, high] = std::ranges::minmax(ranks);
      for (std::size_t n = 1; n <= size; n += 1 + n / 3) {
        const std::uint32_t parting = weir::detail::parting_rank(ranks, n, low, high);
        std::size_t below = 0, not_above = 0;
        for (const std::uint32_t r : ranks) below += r < parting, not_above += r <= parting;
        CHECK(below <= n);
        CHECK(not_above >= n);
      }
    };
    check(random);
    check(alike);
    check(few);
    check(falling);
  }
}

TEST_CASE("the best of what is left are those that sorting gives") {
  std::uint32_t state = 7;
  const auto random = [&] { return (state = state * 1664525u + 1013904223u) >> 16; };
  for (std::size_t round = 0; round < 300; ++round) {
    const std::size_t n = 1 + random() % 70, taken = random() % (n + 1);
    std::vector<float> score(n);
    for (float& x : score) x = static_cast<float>(random() % (round % 3 == 0 ? 4 : 1000)) - 2;
    // The newest are taken; of the others the best stay.
    for (std::size_t budget = 0; budget <= n; budget += 1 + n / 8) {
      std::vector<std::uint64_t> rest(n - taken);
      std::iota(rest.begin(), rest.end(), std::uint64_t{0});
      std::ranges::stable_sort(rest, std::greater{}, [&](std::uint64_t i) { return score[i]; });
      rest.resize(std::min(rest.size(), budget));
      for (std::size_t i = n - taken; i < n; ++i) rest.push_back(i);
      std::ranges::sort(rest);
      CHECK(stay(weir::keep(weir::window{taken}, table{budget, score}), up_to(n)) == rest);
    }
  }
}

TEST_CASE("NaN ranks lowest, with minus infinity") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(stay(weir::keep(table{2, {nan, -5, nan, inf, -inf}}), up_to(5)) == token_indices{1, 3});
  CHECK(stay(weir::keep(table{3, {nan, -5, nan, inf, -inf}}), up_to(5)) == token_indices{0, 1, 3});
  CHECK(stay(weir::keep(table{2, {-inf, nan, nan, nan}}), up_to(4)) == token_indices{0, 1});
  CHECK(stay(weir::keep(table{1, {nan, nan, nan}}), up_to(3)) == token_indices{0});
}

TEST_CASE("a policy that selects by itself takes what it likes, up to its budget") {
  CHECK(stay(weir::keep(greedy{3, 2}), up_to(10)) == token_indices{0, 2, 4});
  CHECK(stay(weir::keep(weir::sinks{1}, greedy{3, 2}, weir::window{1}), up_to(10)) ==
        token_indices{0, 2, 4, 6, 9});
  CHECK(stay(weir::keep(greedy{0, 1}, weir::window{2}), up_to(4)) == token_indices{2, 3});
}

TEST_CASE("a budget of at least everything keeps everything; of nothing, nothing") {
  CHECK(stay(weir::keep(longest_keys{10}), up_to(10)) == up_to(10));
  CHECK(stay(weir::keep(longest_keys{100}), up_to(10)) == up_to(10));
  CHECK(stay(weir::keep(greedy{100, 1}), up_to(10)) == up_to(10));
  CHECK(stay(weir::keep(weir::sinks{100}, longest_keys{1}), up_to(10)) == up_to(10));
  CHECK(stay(weir::keep(longest_keys{0}, weir::sinks{0}), up_to(10)).empty());
  CHECK(stay(weir::keep(longest_keys{4}), {}).empty());
}

TEST_CASE("a view tells where it is and reads keys and values") {
  struct looker {
    std::size_t budget = 1;
    float score(const weir::slots_view& view, weir::slot s) const {
      REQUIRE(view.layer() == 3);
      REQUIRE(view.kv_head() == 1);
      REQUIRE(view.key_norm(s) == static_cast<float>(view.index(s).value % 10));
      REQUIRE(view.value_norm(s) == static_cast<float>(view.index(s).value));
      REQUIRE(view.key(s)[0] == -view.key_norm(s));
      REQUIRE(view.value(s)[0] == view.value_norm(s));
      return -view.value_norm(s);
    }
  };
  CHECK(stay(weir::keep(looker{}), {3, 5, 6}) == token_indices{3});
}

TEST_CASE("budgets add up, and absurd ones are refused") {
  const weir::keep keep(weir::sinks{4}, weir::window{60}, longest_keys{100});
  CHECK(keep.budget() == 164);
  CHECK(keep.budget(weir::anchor::first) == 4);
  CHECK(keep.budget(weir::anchor::last) == 60);
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK_THROWS_AS(weir::keep(weir::sinks{most}, weir::window{2}).budget(), weir::error::bad_config);
  CHECK_THROWS_AS(weir::keep(weir::sinks{4}, weir::window{most - 3}).budget(),
                  weir::error::bad_config);
}

// ---- in a cache ------------------------------------------------------------------------------

namespace {

token_indices kept(const weir_test::any_cache& cache, std::size_t layer = 0, std::size_t head = 0) {
  token_indices indices;
  for (const auto& e : weir_test::entries_of(cache, layer, head)) indices.push_back(e.index);
  return indices;
}

}  // namespace

TEST_CASE("the worked example of sinks and a window") {
  // One sink and a window of 3, tokens 0 to 5: the row of token 5 read 0, 3, 4, 5.
  for (const bool renumbers : {false, true}) {
    weir_test::setup s;
    s.keeps = weir_test::policy::sinks_window;
    s.sinks = 1;
    s.window = 3;
    s.renumbers = renumbers;
    const auto cache = make_cache(s);
    const token_indices live[] = {{0}, {0, 1}, {0, 1, 2}, {0, 2, 3}, {0, 3, 4}, {0, 4, 5}};
    for (std::size_t t = 0; t < 6; ++t) {
      weir_test::append(*cache, s.shape, weir_test::names_of(1, t), 1);
      CHECK(kept(*cache) == live[t]);  // what row t + 1 reads beside itself
    }
    CHECK(cache->max_entries() == 4);
    CHECK(cache->stats().evicted_entries == 3 * s.shape.total_kv_heads());
  }
}

TEST_CASE("what is cached before each token, two sinks and a window of four") {
  weir_test::setup s;
  s.keeps = weir_test::policy::sinks_window;
  s.renumbers = true;
  s.sinks = 2;
  s.window = 4;
  const auto cache = make_cache(s);
  for (std::size_t t = 0; t <= 13; ++t) {
    if (t == 5) CHECK(kept(*cache) == token_indices{0, 1, 2, 3, 4});
    if (t == 6) CHECK(kept(*cache) == token_indices{0, 1, 3, 4, 5});
    if (t == 13) CHECK(kept(*cache) == token_indices{0, 1, 10, 11, 12});
    weir_test::append(*cache, s.shape, weir_test::names_of(1, t), 1);
  }
}

TEST_CASE("boundaries run lazily, at multiples of the cadence, and hold the budget") {
  using namespace weir_test;
  for (const std::size_t cadence : {1u, 7u, 32u, 50u})
    for (const std::uint64_t first : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 512}) {
      setup s;
      s.keeps = policy::scored;
      s.sinks = 4;
      s.window = 10;
      s.scored = 20;
      s.options.cadence = cadence;
      s.options.first_index = first;
      const auto cache = make_cache(s);
      const std::size_t budget = 34;
      CHECK(cache->max_entries() == budget + cadence);
      const auto names = names_of(300, cadence);
      std::uint64_t evicted = 0;
      for (std::size_t t = 0; t < 300; ++t) {
        weir_test::append(*cache, s.shape, std::span(names).subspan(t, 1), 1);
        // Token t was stored; the boundary at t, if there is one, ran just before. What is looked
        // at has been through the one at t + 1, which has not run.
        CHECK(cache->stats().boundaries == t / cadence * s.shape.layers);
        std::uint64_t entries = 0;
        for (std::size_t layer = 0; layer < s.shape.layers; ++layer)
          for (std::size_t head = 0; head < s.shape.kv_heads; ++head) {
            const token_indices now = kept(*cache, layer, head);
            entries += now.size();
            REQUIRE(now.size() <= budget + cadence);
            REQUIRE(now.size() ==
                    std::min((t + 1) / cadence * cadence, budget) + (t + 1) % cadence);
            for (std::size_t i = 1; i < now.size(); ++i) REQUIRE(now[i - 1] < now[i]);
            for (std::size_t i = 0; i < std::min<std::size_t>(4, t + 1); ++i)
              REQUIRE(now[i] == first + i);
            for (std::size_t i = 0; i < std::min<std::size_t>(10, t + 1); ++i)
              REQUIRE(now[now.size() - 1 - i] == first + t - i);
          }
        evicted = cache->stats().evicted_entries;
        if ((t + 1) % cadence != 0)
          REQUIRE(evicted + entries == (t + 1) * s.shape.total_kv_heads());
      }
      CHECK(evicted > 0);
    }
}

TEST_CASE("a full cache that keeps everything has lost nothing") {
  using namespace weir_test;
  setup s;
  s.capacity = 40;
  const auto cache = make_cache(s);
  weir_test::append(*cache, s.shape, names_of(40, 1), 16);
  CHECK(cache->room() == 0);
  CHECK(cache->stats().evicted_entries == 0);
  CHECK(kept(*cache) == up_to(40));
}
