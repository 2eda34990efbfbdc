// A preset takes its memory when its cache is made: exactly what required_bytes announced, and
// nothing after that, boundaries and speculation included.
#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include <weir/presets.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"

namespace {

using namespace weir;

template <class Recipe>
void check_allocation() {
  using Keep = presets::recipes::keep_of<Recipe>;
  using Layout =
      std::conditional_t<keep_has_changing_budgets<Keep>, layouts::paged, layouts::contiguous>;
  using cache_type = kv_cache<f16, Keep, positions::original, Layout>;
  const kv_shape shape{.layers = 2,
                       .q_heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .rope = {.dims = 16, .base = 10000}};
  const cache_options options{
      .max_rows = 8, .max_draft_rows = 4, .max_draft_width = 2, .cadence = 8};
  const Keep keep = Recipe::of({.entries = 48, .cadence = 8, .shape = shape});
  const std::size_t announced = cache_type::required_bytes(shape, keep, options);
  const std::size_t before = weir_test::aligned_bytes_asked();
  cache_type cache(shape, keep, options);
  CHECK(weir_test::aligned_bytes_asked() - before == announced);
  CHECK(cache.bytes() == announced);

  testing::layer_rows x;
  const auto names = testing::names_of(8, 1);
  testing::make_rows(shape, names, 0, x);  // takes the memory for the longest step
  const std::size_t calls = weir_test::allocation_count();
  const row two[2] = {}, drafts[3] = {{}, {row::root, true}, {row::root, true}};
  for (std::size_t t = 0; t < 200; ++t) {
    const bool draft = t % 3 == 0 && cache.draft_room(1) > 0 && cache.finals_room() > 0;
    const std::size_t finals =
        draft ? 1 : static_cast<std::size_t>(std::min<std::uint64_t>(2, cache.finals_room()));
    const std::size_t n = draft ? 3 : finals;
    auto step = cache.begin(draft ? std::span<const row>(drafts) : std::span(two).first(n));
    const std::size_t q = n * shape.q_heads * shape.head_dim,
                      kv = n * shape.kv_heads * shape.head_dim;
    for (std::size_t layer = 0; layer < shape.layers; ++layer)
      step.attend(layer, std::span(x.q).first(q), std::span(x.k).first(kv),
                  std::span(x.v).first(kv), std::span(x.out).first(q));
    const std::size_t path[1] = {2};
    const auto did = draft && t % 2 == 0 ? step.commit(path) : step.commit();
    if constexpr (cache_type::wants_log_probabilities)
      for (std::size_t i = 0; i < did.appended; ++i)
        cache.tell_log_probability(cache.length() - did.appended + i, -1.0f);
    if (t == 150) cache.reset();
  }
  CHECK(weir_test::allocation_count() == calls);
  CHECK(cache.stats().boundaries + (is_positional_keep<Keep> ? 1 : 0) > 0);
}

}  // namespace
