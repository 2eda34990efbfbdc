// Pages: a stream holds what it needs, forks share until one writes, and none ever sees the other.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <weir/presets.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"
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
  for (int round = 0; round < 6; ++round) {
    cache first(shape, keep, options), alone(shape, keep, options),
        other_alone(shape, keep, options);
    const auto common = names_of(random.within(1, 120), round + 1u);
    append(first, shape, common, 17);
    append(alone, shape, common, 40);
    append(other_alone, shape, common, 1);
    auto second = std::make_unique<cache>(first);
    REQUIRE(same_entries(first, *second, shape));
    REQUIRE(second->length() == first.length());
    for (int turn = 0; turn < 8; ++turn) {
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
  CHECK(first.pages_held() == 4 * shape.units());  // ⌈100 / 32⌉
  cache second(first);
  CHECK(second.pages_held() == first.pages_held());
  append(second, shape, names_of(1, 2), 1);  // the last, shared tile is copied
  CHECK(second.pages_held() == 4 * shape.units());
  append(second, shape, names_of(28, 3), 7);
  CHECK(second.pages_held() == 5 * shape.units());
  CHECK(first.pages_held() == 4 * shape.units());
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
    CHECK(c.pages_held() <= held / 32 + 2 * shape.units());
    if (t > 400) CHECK(most > least);  // heads differ, or this would show nothing
  }
}
