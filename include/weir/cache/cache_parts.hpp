// What a cache is made of: everything that holds memory, planned in one order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include <weir/cache/attention/rotations.hpp>
#include <weir/cache/attention/split_states.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/positional_keeper.hpp>
#include <weir/cache/scored_keeper.hpp>
#include <weir/cache/store/kv_scales.hpp>
#include <weir/cache/store/kv_store.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/exact_arithmetic.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

template <class Codec, class Keep, class Positions, class Layout, class Arch>
struct cache_parts {
  using keeper_type =
      std::conditional_t<is_positional_keep<Keep>, positional_keeper<Keep, Positions::renumbers>,
                         scored_keeper<Keep, Positions::renumbers>>;
  using store_type = kv_store<Codec, Layout, Arch>;
  using arch = Arch;

  /// True if ranks are positions.
  static constexpr bool renumbers = Positions::renumbers;
  /// True if boundaries may write to any tile.
  static constexpr bool rewrites = keep_has_evict_handler<Keep> || keep_has_changing_budgets<Keep>;
  /// Keys of a KV head that policies find in one piece in `on_append`.
  static constexpr std::size_t max_recent = 64;

  arena_plan plan;
  keeper_type keeper;
  store_type store;
  split_states states;
  rotations turns;
  std::size_t segment_rows;  ///< rows that are attended together, at most
  arena_plan::block<float> query_block;
  std::span<float> query;  ///< [variant, row of the segment, q_head, head_dim], once bound

  cache_parts(const kv_shape& shape, const Keep& keep, const cache_options& options)
      : keeper((require_exact_arithmetic(), require_kernels(), validate(shape), validate(options),
                require_ranges(options.ranges, shape), validate(keep, shape), plan),
               shape, keep, options),
        store(plan, shape, keeper.tile_counts(),
              checked_sum(keeper.max_tiles(), options.extra_pages),
              includes(keep_needs<Keep>, signals::new_keys) ? std::min(options.cadence, max_recent)
                                                            : 0,
              options.on_overflow == overflow::scale ? kv_scales(options.ranges) : kv_scales()),
        states(plan, shape, keeper.max_splits()),
        turns(plan, shape.rope, options.max_rows, ranks(), keeper.sink_query_positions().size()) {
    if (!Layout::pages_taken)
      error::require<error::bad_config>(options.extra_pages == 0,
                                        "cache_options.extra_pages: ", options.extra_pages,
                                        " under layouts::contiguous (expected 0: it has no pool)");
    if (Positions::renumbers)
      error::require<error::bad_config>(
          shape.rope.dims > 0,
          "positions::within_cache: the model rotates its queries and keys itself "
          "(expected unrotated ones and kv_shape.rope.dims > 0)");
    segment_rows = std::max(std::min(options.max_rows, tile_lanes), options.max_draft_rows);
    query_block = plan.reserve<float>(query_variants, segment_rows, shape.q_heads, shape.head_dim);
  }

  /// Finds its memory.
  void bind(const arena& memory) {
    keeper.bind(memory);
    store.bind(memory);
    states.bind(memory);
    turns.bind(memory, keeper.sink_query_positions());
    query = memory[query_block];
  }

  std::size_t bytes() const { return checked_sum(plan.bytes(), store.pool_bytes()); }
  /// Pages that one step of `rows` rows may take; that rows may which come to an open one; and
  /// that `rows` rows may whatever steps they come in.
  std::size_t pages_for_step(std::size_t rows) const {
    return rewrites ? store.pages_for(keeper.max_entries()) : pages_for_more(rows);
  }
  std::size_t pages_for_more(std::size_t rows) const {
    return store.pages_for(std::min(rows, keeper.tiles_written(rows)));
  }
  std::size_t pages_for_rows(std::size_t rows) const {
    const std::size_t most = keeper.max_tiles();
    return rewrites ? most : std::min(most, store.pages_for(keeper.tiles_written(rows)));
  }
  std::size_t ranks() const {
    if constexpr (keeper_type::stores_rotated_keys)
      return 0;
    else
      return keeper.ranks();
  }
};

}  // namespace weir::inline WEIR_TARGET
