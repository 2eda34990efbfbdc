// Pages: a stream holds what it needs, forks share until one writes, and none ever sees the other.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <weir/cache/eviction/token_surprisal.hpp>
#include <weir/presets.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using namespace weir::testing;

const kv_shape shape{
    .layers = 2, .q_heads = 4, .kv_heads = 2, .head_dim = 16, .rope = {.dims = 16, .base = 10000}};

template <class Keep>
using paged_cache = kv_cache<f16, Keep, positions::original, layouts::paged>;

/// Forks at random, feeds both sides tokens of their own, and compares each with a cache that was
/// fed the same alone.
template <class Keep>
void forks_are_apart(const Keep& keep) {
  using cache = one_cache<paged_cache<Keep>>;
  dice random{3};
  const cache_options options{.max_rows = 40, .cadence = 8, .extra_pages = 200};
  for (unsigned round = 0; round < 6; ++round) {
    cache first(shape, keep, options), alone(shape, keep, options),
        other_alone(shape, keep, options);
    const auto common = names_of(random.within(1, 120), round + 1u);
    append(first, shape, common, 17);
    append(alone, shape, common, 40);
    append(other_alone, shape, common, 1);
    auto second = std::make_unique<cache>(first);
    REQUIRE(same_entries(first, *second, shape));
    REQUIRE(second->length() == first.length());
    for (unsigned turn = 0; turn < 8; ++turn) {
      const auto a = names_of(random.within(1, 20), 100u + turn),
                 b = names_of(random.within(1, 20), 200u + turn);
      REQUIRE(first_difference(append(first, shape, a, 5), append(alone, shape, a, 9)) == a.size());
      REQUIRE(first_difference(append(*second, shape, b, 7), append(other_alone, shape, b, 3)) ==
              b.size());
    }
    REQUIRE(same_entries(first, alone, shape));
    REQUIRE(same_entries(*second, other_alone, shape));
    second.reset();  // its pages come back
    const auto more = names_of(60, 77);
    REQUIRE(first_difference(append(first, shape, more, 5), append(alone, shape, more, 9)) == 60);
  }
}

/// Becomes a fork of one stream again and again, and is each time what a new fork is.
template <class Keep>
void is_forked_again(const Keep& keep, bool may_take_back) {
  using cache = one_cache<paged_cache<Keep>>;
  dice random{5};
  cache_options options{.max_rows = 40, .may_take_back = may_take_back, .cadence = 8};
  options.extra_pages = paged_cache<Keep>::pages_for_forks(shape, keep, options, 2, 40);
  cache first(shape, keep, options);
  append(first, shape, names_of(random.within(1, 50), 1), 17);
  cache again(first);
  for (unsigned turn = 0; turn < 30; ++turn) {
    append(first, shape, names_of(random.within(1, 12), 100u + turn), 5);
    append(again, shape, names_of(random.within(1, 40), 200u + turn), 7);
    if (turn % 4 == 1) again.reset();
    if (turn % 4 == 2 && may_take_back) first.take_back();
    const std::size_t before = weir_test::allocation_count();
    again.fork_from(first);
    CHECK(weir_test::allocation_count() - before == 0);
    CHECK(again.pages_held() == first.pages_held());
    const auto names = names_of(random.within(1, 40), 300u + turn);
    {
      cache fork(first);
      REQUIRE(same_entries(again, fork, shape));
      const auto expected = append(fork, shape, names, 9);
      REQUIRE(first_difference(append(again, shape, names, 3), expected) == names.size());
      REQUIRE(same_entries(again, fork, shape));
      CHECK(again.stats().boundaries == fork.stats().boundaries);
      CHECK(again.stats().evicted_entries == fork.stats().evicted_entries);
    }
  }
}

struct longest_keys {
  std::size_t budget;
  float score(const slots_view& c, slot s) const { return c.key_norm(s); }
};

}  // namespace

TEST_CASE("forks share pages and never see each other") {
  forks_are_apart(keep_all{600});
  forks_are_apart(keep<sinks, window>{sinks{3}, window{50}});
  forks_are_apart(presets::recipes::h2o::of({.entries = 50}));
  forks_are_apart(presets::recipes::ada_kv::of({.entries = 50, .cadence = 8}));
  forks_are_apart(presets::recipes::d2o::of({.entries = 50}));
}

TEST_CASE("a fork costs no pages until it writes, and then those it writes") {
  using cache = one_cache<paged_cache<keep_all>>;
  cache first(shape, keep_all{640}, {.max_rows = 64, .extra_pages = 80});
  append(first, shape, names_of(100, 1), 50);
  CHECK(first.pages_held() == 4 * shape.total_kv_heads());  // ⌈100 / 32⌉
  cache second(first);
  CHECK(second.pages_held() == first.pages_held());
  append(second, shape, names_of(1, 2), 1);  // the last, shared tile is copied
  CHECK(second.pages_held() == 4 * shape.total_kv_heads());
  append(second, shape, names_of(28, 3), 7);
  CHECK(second.pages_held() == 5 * shape.total_kv_heads());
  CHECK(first.pages_held() == 4 * shape.total_kv_heads());
}

TEST_CASE("a pool that is used up refuses the step, and nothing is lost") {
  using cache = one_cache<paged_cache<keep_all>>;
  const cache_options options{.max_rows = 64, .extra_pages = 4};
  cache first(shape, keep_all{128}, options), alone(shape, keep_all{128}, options);
  const auto names = names_of(128, 1);
  append(first, shape, std::span(names).first(100), 50);
  append(alone, shape, std::span(names).first(100), 50);
  auto second = std::make_unique<cache>(first);
  append(*second, shape, names_of(1, 9), 1);  // takes the four
  weir_test::require_refused<error::bad_input>(
      [&] { append(first, shape, std::span(names).subspan(100, 1), 1); },
      {"may take 4 pages of a pool that forks share (0 are left", "cache_options.extra_pages"});
  second.reset();
  CHECK(first_difference(append(first, shape, std::span(names).subspan(100), 9),
                         append(alone, shape, std::span(names).subspan(100), 9)) == 28);
}

TEST_CASE("steps that are open at once and use up a pool break the one that comes late") {
  using cache = one_cache<paged_cache<keep_all>>;
  const cache_options options{.max_rows = 64, .extra_pages = 4};
  cache first(shape, keep_all{128}, options), alone(shape, keep_all{128}, options);
  const auto names = names_of(100, 1), more = names_of(1, 2);
  append(first, shape, names, 50);
  append(alone, shape, names, 50);
  cache second(first), idle(first);
  const row one[1] = {};
  first.begin(one);
  second.begin(one);  // there are pages for either, not for both
  const auto attend = [&](cache& c) {
    layer_rows x;
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
      make_rows(shape, more, layer, x);
      c.attend(layer, x.q, x.k, x.v, x.out);
    }
  };
  attend(first);
  weir_test::require_refused<error::bad_call>([&] { attend(second); },
                                              {"attend: no page was left", "extra_pages"});
  weir_test::require_refused<error::bad_call>([&] { second.commit({}); }, {"can only be reset"});
  second.rollback();
  weir_test::require_refused<error::bad_call>([&] { second.begin(one); }, {"can only be reset"});
  first.commit({});
  append(alone, shape, more, 1);
  CHECK(same_entries(first, alone, shape));
  for (cache* c : {&alone, &idle, &second}) c->reset();
  append(alone, shape, std::span(names).first(1), 1);
  append(second, shape, std::span(names).first(1), 1);
  CHECK(same_entries(second, alone, shape, true));
}

TEST_CASE("a pool gives the page that is wished for, or the next one that is free") {
  arena_plan plan;
  page_pool pool(plan, 5);
  const arena memory(plan);
  pool.bind(memory);
  CHECK(pool.take(3) == 3);
  CHECK(pool.take(3) == 4);
  CHECK(pool.take(3) == 0);  // behind the last comes the first
  CHECK(pool.take(8) == 1);
  CHECK(pool.left() == 1);
  pool.share(4);
  pool.give_back(4);
  CHECK(pool.take(4) == 2);  // a fork holds page 4 yet
  CHECK(pool.left() == 0);
  pool.give_back(4);
  pool.give_back(0);
  CHECK(pool.left() == 2);
  CHECK(pool.take(2) == 4);
}

TEST_CASE("a tile wishes to lie behind the one before it") {
  arena_plan plan;
  const std::vector<std::size_t> tiles{6, 6, 6};
  page_map<layouts::paged> map(plan, tiles);
  const arena memory(plan);
  map.bind(memory);
  map.start(tiles);
  const std::size_t pages = 12;  // each KV head's share: 4
  CHECK(map.wish(0, 0, pages) == 0);
  CHECK(map.wish(1, 0, pages) == 4);
  CHECK(map.wish(2, 1, pages) == 9);  // nothing lies before it
  map.set_page(1, 0, 7);
  CHECK(map.wish(1, 1, pages) == 8);
  CHECK(map.wish(1, 2, pages) == 6);
}

TEST_CASE("unequal budgets hold what they need, not what the largest might") {
  using cache = one_cache<paged_cache<presets::ada_kv>>;
  const std::size_t cadence = 8, entries = 200;
  cache c(shape, presets::recipes::ada_kv::of({.entries = entries, .cadence = cadence}),
          {.max_rows = 64, .cadence = cadence});
  const auto names = names_of(700, 4);
  for (std::size_t t = 0; t < 700; t += 10) {
    append(c, shape, std::span(names).subspan(t, 10), 10);
    std::size_t held = 0, least = ~std::size_t{0}, most = 0;
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
      std::size_t in_layer = 0;
      for (std::size_t head = 0; head < shape.kv_heads; ++head) {
        const std::size_t n = entries_of(c, layer, head).size();
        in_layer += n;
        least = std::min(least, n);
        most = std::max(most, n);
      }
      CHECK(in_layer <= shape.kv_heads * (entries + cadence));
      held += in_layer;
    }
    CHECK(c.pages_held() <= held / 32 + 2 * shape.total_kv_heads());
    if (t > 400) CHECK(most > least);  // heads differ, or this would show nothing
  }
}

TEST_CASE("a cache that becomes a fork is what a new fork is, and allocates nothing") {
  for (const bool may_take_back : {false, true}) {
    is_forked_again(keep_all{600}, may_take_back);
    is_forked_again(keep<sinks, window>{sinks{3}, window{50}}, may_take_back);
    is_forked_again(keep<sinks, window, longest_keys>{sinks{3}, window{20}, longest_keys{40}},
                    may_take_back);
    is_forked_again(presets::recipes::h2o::of({.entries = 50}), may_take_back);
    is_forked_again(presets::recipes::ada_kv::of({.entries = 50, .cadence = 8}), may_take_back);
    is_forked_again(presets::recipes::d2o::of({.entries = 50}), may_take_back);
    is_forked_again(keep<sinks, window, token_surprisal>{sinks{3}, window{20}, token_surprisal{30}},
                    may_take_back);
  }
}

TEST_CASE("becoming a fork gives back what was held: no page is ever lost") {
  using cache = one_cache<paged_cache<keep_all>>;
  const cache_options plain{.max_rows = 64};
  cache_options options = plain;
  // Exactly what two forks need that append 33 tokens each.
  options.extra_pages = paged_cache<keep_all>::pages_for_forks(shape, keep_all{128}, plain, 2, 33);
  CHECK(options.extra_pages == 3 * 2 * shape.total_kv_heads() + 0u);
  cache first(shape, keep_all{128}, options), alone(shape, keep_all{128}, options);
  append(first, shape, names_of(95, 1), 50);
  append(alone, shape, names_of(95, 1), 50);
  cache a(first), b(first);
  for (unsigned turn = 0; turn < 200; ++turn) {
    a.fork_from(first);
    b.fork_from(first);
    append(a, shape, names_of(33, 2 * turn), 33);
    append(b, shape, names_of(33, 2 * turn + 1), 33);
  }
  CHECK(a.pages_held() == 4 * shape.total_kv_heads());
  a.fork_from(b);  // any of the family
  CHECK(same_entries(a, b, shape));
  a.reset();
  b.reset();
  CHECK(a.pages_held() == 0);
  CHECK(first_difference(append(first, shape, names_of(33, 9), 33),
                         append(alone, shape, names_of(33, 9), 9)) == 33);
}

TEST_CASE("becoming a fork is refused of strangers and while a step is open") {
  using cache = paged_cache<keep_all>;
  const cache_options options{.max_rows = 4, .extra_pages = 80};
  cache first(shape, keep_all{64}, options), stranger(shape, keep_all{64}, options);
  cache fork(first);
  weir_test::require_refused<error::bad_input>([&] { fork.fork_from(stranger); },
                                               {"a cache with pages of its own"});
  const row rows[1] = {};
  {
    const auto step = first.begin(rows);
    weir_test::require_refused<error::bad_call>([&] { fork.fork_from(first); },
                                                {"fork_from: a step is open"});
  }
  {
    const auto step = fork.begin(rows);
    weir_test::require_refused<error::bad_call>([&] { fork.fork_from(first); },
                                                {"fork_from: a step is open"});
  }
  fork.fork_from(first);
  CHECK(fork.length() == 0);
}
