// One preset's caches. A generated translation unit per preset compiles them: f16 and f32, with
// original positions and, where the preset allows it, within the cache.
#pragma once

#include <memory>
#include <type_traits>

#include <weir/cache/eviction/head_labels.hpp>
#include <weir/presets.hpp>

#include "cache_makers.hpp"

namespace tool {

template <class Recipe>
cache_maker preset_cache(const cache_choice& c, const weir::kv_shape& shape) {
  using namespace weir;
  using keep_type = presets::recipes::keep_of<Recipe>;
  using layout =
      std::conditional_t<keep_has_changing_budgets<keep_type>, layouts::paged, layouts::contiguous>;
  const std::size_t reserved = is_positional_keep<keep_type> ? 0 : c.cadence;
  presets::recipes::ask ask{.entries = c.budget - reserved, .cadence = c.cadence, .shape = shape};
  if constexpr (presets::recipes::needs_centres<Recipe>)
    ask.centres = std::make_shared<query_centres>(query_centres::load(c.calibration));
  if constexpr (presets::recipes::needs_labels<Recipe>) {
    ask.labels =
        head_labels(read_head_table(c.head_table, shape.layers, shape.kv_heads), c.sparsity);
    ask.capacity = c.rows;
  }
  const keep_type keep = Recipe::of(ask);
  const auto place = [&]<class Positions>(Positions) {
    return c.codec == "f32" ? maker_of<kv_cache<f32, keep_type, Positions, layout>>(keep)
                            : maker_of<kv_cache<f16, keep_type, Positions, layout>>(keep);
  };
  if constexpr (!keep_needs_original_positions<keep_type>)
    if (positions_of(c) == "within-cache") return place(positions::within_cache{});
  return place(positions::original{});
}

}  // namespace tool
