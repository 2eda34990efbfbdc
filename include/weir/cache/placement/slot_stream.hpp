// A stream whose tokens lie in slots, other slots in each (layer, KV head): which token
// lies where, from where a KV head last decided on, and so what rows read. Who stays is decided
// elsewhere: scored_keeper.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/attention/visit_plan.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/placement/slot_map.hpp>
#include <weir/cache/placement/tile_place.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

template <bool Renumbers>
class slot_stream {
 public:
  /// Sets with holes are renumbered as keys are read.
  static constexpr bool stores_rotated_keys = !Renumbers;

  /// Every KV head may have up to `slots` slots.
  slot_stream(arena_plan& plan, const kv_shape& shape, std::size_t slots,
              const cache_options& options)
      : shape_(shape),
        first_(options.first_index),
        length_(options.first_index),
        cadence_(options.cadence),
        draft_tiles_(draft_tiles(options.max_draft_rows, options.max_draft_width, tiles_of(slots))),
        max_drafts_(options.max_draft_rows),
        map_(plan, shape.total_kv_heads(), slots, draft_tiles_, Renumbers),
        boundary_block_(plan.reserve<std::uint64_t>(shape.total_kv_heads())),
        draft_block_(plan.reserve<tile_place>(shape.total_kv_heads(), options.max_draft_rows)) {}

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  /// Slots of a KV head, at most: entries that a row may read.
  std::size_t max_entries() const { return map_.slots(); }
  std::size_t max_splits() const { return splits_of(map_.tiles()); }
  /// Tiles of a KV head that hold tokens of the stream up to the next boundary.
  std::size_t tiles_in_use(std::size_t head_index) const { return map_.tiles_in_use(head_index); }
  /// Tiles of a KV head that `rows` rows of one stream may be written to, at most, one step or
  /// many.
  std::size_t tiles_written(std::size_t rows) const {
    return rows + std::min(draft_tiles_, rows);  // a token may come to any slot that is free
  }

  /// Calls `visit(stream index, place)` for every live entry of `head_index`, in stream order.
  template <class Visit>
  void for_each_live(std::size_t head_index, Visit visit) const {
    const std::size_t n = entries(head_index, length_);
    for (const std::uint32_t s : map_.order(head_index).first(n))
      visit(map_.index(head_index)[s], slot_map::place(s));
  }

  // ---- ranks of renumbered keys ----------------------------------------------------------------

  /// Ranks that an entry may have.
  std::size_t ranks() const { return max_entries(); }
  std::size_t rank_stride() const { return map_.rank_stride(); }
  /// Rank of every lane `[physical tile, 32]`.
  std::span<std::uint32_t> ranks(std::size_t head_index) const { return map_.ranks(head_index); }
  std::uint64_t query_position(std::size_t head_index, const step_rows& rows, std::size_t r) const {
    const std::uint64_t index = length_ + rows.offset(r);
    return Renumbers ? map_.kept(head_index) + (index - boundary_[head_index]) : index;
  }
  bool uses_sink_variant(std::size_t, const step_rows&) const { return false; }
  std::vector<position> sink_query_positions() const { return {}; }
  std::size_t sink_query_number(std::size_t) const { return 0; }

  // ---- where rows lie --------------------------------------------------------------------------

  tile_place place(std::size_t head_index, const step_rows& rows, std::size_t r) const {
    return r < rows.finals() ? home(head_index, rows, r)
                             : draft_place(head_index, r - rows.finals());
  }
  tile_place home(std::size_t head_index, const step_rows& rows, std::size_t r) const {
    return slot_map::place(slot_of(head_index, length_ + rows.offset(r)));
  }
  tile_place draft_place(std::size_t head_index, std::size_t draft) const {
    return draft_place_[head_index * max_drafts_ + draft];
  }

  // ---- what rows read --------------------------------------------------------------------------

  std::size_t splits(std::size_t head_index, const step_rows&, std::size_t, std::size_t) const {
    return splits_of(tiles_in_use(head_index));
  }
  void plan(std::size_t head_index, const step_rows& rows, std::size_t first, std::size_t last,
            std::size_t split, visit_list& list) const {
    plan_visits(*this, head_index, rows, first, last, split, list);
  }
  void read_lanes(std::size_t head_index, const step_rows& rows, std::size_t r, std::uint64_t split,
                  split_masks& masks) const {
    auto& lanes = masks.lanes[own_variant];
    const std::size_t begin = split * split_tiles,
                      end = std::min(begin + split_tiles, map_.tiles());
    for (std::size_t t = begin; t < end; ++t) lanes[t - begin] = map_.live(head_index)[t];
    // The step's own final rows become live with the commit.
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t last = std::min(t + 1, length_ + rows.finals());
    for (std::uint64_t i = std::max(length_, boundary_[head_index]); i < last; ++i) {
      const std::uint32_t s = slot_of(head_index, i);
      if (s / tile_lanes >= begin && s / tile_lanes < end)
        lanes[s / tile_lanes - begin] |= 1u << s % tile_lanes;
    }
  }
  std::uint32_t physical(std::size_t, std::uint64_t tile) const {
    return static_cast<std::uint32_t>(tile);
  }
  std::uint64_t draft_address(std::size_t head_index, const step_rows& rows,
                              std::size_t draft) const {
    return slot_of(head_index, length_ + rows.finals() + rows.depth(draft));
  }

 protected:
  static std::size_t splits_of(std::size_t tiles) {
    return (tiles + split_tiles - 1) / split_tiles;
  }
  static std::size_t tiles_of(std::size_t slots) { return (slots + tile_lanes - 1) / tile_lanes; }

  void bind(const arena& memory) {
    map_.bind(memory);
    boundary_ = memory[boundary_block_];
    draft_place_ = memory[draft_block_];
  }
  /// Nothing has come; `go_on_from` follows, for each KV head.
  void reset() {
    length_ = first_;
    map_.reset();
  }
  /// At stream index `at` a KV head has decided, or the stream begins: the tokens that follow get
  /// free slots. `empty(slot)` as in slot_map.
  template <class Empty>
  void go_on_from(std::size_t head_index, std::uint64_t at, Empty empty) {
    map_.list_free_slots(head_index, at, cadence_, empty);
    boundary_[head_index] = at;
  }

  /// `tokens` more have come.
  void grow(std::size_t tokens) {
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      for (std::uint64_t i = std::max(length_, boundary_[head_index]); i < length_ + tokens; ++i)
        map_.set_live(head_index, slot_of(head_index, i), true);
    length_ += tokens;
  }
  /// The last one goes, over which no KV head has decided.
  void shrink() {
    --length_;
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      map_.set_live(head_index, slot_of(head_index, length_), false);
  }
  /// Lays out the step's provisional rows of a KV head that has `home_tiles` beside draft tiles.
  void lay_out_drafts(std::size_t head_index, const step_rows& rows, std::size_t home_tiles) {
    place_drafts(
        rows,
        [&](std::size_t depth) {
          return slot_map::place(slot_of(head_index, length_ + rows.finals() + depth));
        },
        static_cast<std::uint32_t>(home_tiles),
        draft_place_.subspan(head_index * max_drafts_, max_drafts_));
    if (!Renumbers) return;
    for (std::size_t i = 0; i < rows.drafts(); ++i) {
      const tile_place p = draft_place(head_index, i);
      ranks(head_index)[p.tile * tile_lanes + p.lane] =
          static_cast<std::uint32_t>(query_position(head_index, rows, rows.finals() + i));
    }
  }

  /// Where a KV head last decided.
  std::uint64_t last_boundary(std::size_t head_index) const { return boundary_[head_index]; }
  /// The first boundary from `at` on, and behind it.
  std::uint64_t boundary_from(std::uint64_t at) const {
    return first_ + (at - first_ + cadence_ - 1) / cadence_ * cadence_;
  }
  std::uint64_t next_boundary(std::uint64_t at) const { return boundary_from(at + 1); }
  /// Entries of a KV head when the next token's stream index is `at`.
  std::size_t entries(std::size_t head_index, std::uint64_t at) const {
    return map_.kept(head_index) + static_cast<std::size_t>(at - boundary_[head_index]);
  }

  kv_shape shape_;
  std::uint64_t first_, length_;
  std::size_t cadence_, draft_tiles_, max_drafts_;
  slot_map map_;

 private:
  std::uint32_t slot_of(std::size_t head_index, std::uint64_t index) const {
    return map_.order(head_index)[map_.kept(head_index) +
                                  static_cast<std::size_t>(index - boundary_[head_index])];
  }

  arena_plan::block<std::uint64_t> boundary_block_;
  arena_plan::block<tile_place> draft_block_;
  std::span<std::uint64_t> boundary_;  // [head_index] where it last decided
  std::span<tile_place> draft_place_;  // [head_index, draft]
};

}  // namespace weir::inline WEIR_TARGET
