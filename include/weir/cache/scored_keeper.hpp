// The keeper of policies that look at more than positions.
//
// Each (layer, KV head) — a unit — decides for itself at boundaries. A kept token stays in its
// slot; the tokens that follow take the lowest free slots in stream order, which are listed once
// per boundary. Nothing is moved and nothing is re-rotated.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/cache/cache_options.hpp>
#include <weir/cache/claim_round.hpp>
#include <weir/cache/kv_shape.hpp>
#include <weir/cache/visit_plan.hpp>
#include <weir/core/arena.hpp>

namespace weir {

template <class Keep, bool Renumbers>
class scored_keeper {
 public:
  static constexpr bool has_boundaries = true;
  /// Sets with holes are renumbered as keys are read.
  static constexpr bool stores_rotated_keys = !Renumbers;

  scored_keeper(arena_plan& plan, const kv_shape& shape, const Keep& keep,
                const cache_options& options)
      : keep_(keep),
        first_(options.first_index),
        length_(options.first_index),
        cadence_(options.cadence),
        kv_heads_(shape.kv_heads),
        layers_(shape.layers),
        slots_(keep.budget() + options.cadence),
        tiles_((slots_ + tile_lanes - 1) / tile_lanes) {
    using error::bad_config, error::require;
    require<bad_config>(keep.budget() >= 2, "keep: a budget of ", keep.budget(),
                        " entries in all (expected at least 2)");
    require<bad_config>(slots_ < std::size_t{1} << 31, "keep: budget + cadence of ", slots_,
                        " entries (expected below 2^31)");
    if (Renumbers && shape.trained_context > 0)
      require<bad_config>(slots_ <= shape.trained_context, "keep: budget + cadence of ", slots_,
                          " entries renumbered within the cache (expected at most the trained "
                          "context of ",
                          shape.trained_context, ")");
    draft_tiles_ = draft_tiles(options.max_draft_rows, options.max_draft_width, tiles_);
    const std::size_t units = shape.units(), lanes = tiles_ * tile_lanes;
    live_block_ = plan.reserve<std::uint32_t>(units * tiles_);
    kept_block_ = plan.reserve<std::uint32_t>(units);
    order_block_ = plan.reserve<std::uint32_t>(units * slots_);
    index_block_ = plan.reserve<std::uint64_t>(units * lanes);
    rank_block_ = plan.reserve<std::uint32_t>(units * physical_tiles() * tile_lanes);
    boundary_block_ = plan.reserve<std::uint64_t>(layers_);
    draft_block_ = plan.reserve<tile_place>(units * options.max_draft_rows);
    taken_block_ = plan.reserve<std::uint8_t>(kv_heads_ * slots_);
    score_block_ = plan.reserve<float>(kv_heads_ * slots_);
    candidate_block_ = plan.reserve<std::uint32_t>(kv_heads_ * slots_);
    vector_block_ = plan.reserve<float>(kv_heads_ * shape.head_dim);
    max_drafts_ = options.max_draft_rows;
    head_dim_ = shape.head_dim;
  }

  void bind(const arena& memory) {
    live_ = memory[live_block_];
    kept_ = memory[kept_block_];
    order_ = memory[order_block_];
    index_ = memory[index_block_];
    rank_ = memory[rank_block_];
    boundary_ = memory[boundary_block_];
    draft_place_ = memory[draft_block_];
    taken_ = memory[taken_block_];
    score_ = memory[score_block_];
    candidate_ = memory[candidate_block_];
    vector_ = memory[vector_block_];
    reset();
  }

  // ---- sizes -----------------------------------------------------------------------------------

  std::size_t physical_tiles() const { return tiles_ + draft_tiles_; }
  std::size_t most_entries() const { return slots_; }
  std::size_t most_splits() const { return (tiles_ + split_tiles - 1) / split_tiles; }
  /// Ranks that a renumbered entry may have.
  std::size_t ranks() const { return slots_; }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  std::uint64_t room() const { return std::numeric_limits<std::uint64_t>::max() - length_; }

  void append(std::size_t tokens) {
    for (std::size_t unit = 0; unit < kept_.size(); ++unit)
      for (std::uint64_t i = std::max(length_, boundary_of(unit)); i < length_ + tokens; ++i)
        set_live(unit, slot_of(unit, i), true);
    length_ += tokens;
  }
  void take_back() {
    --length_;
    for (std::size_t unit = 0; unit < kept_.size(); ++unit)
      set_live(unit, slot_of(unit, length_), false);
  }
  void reset() {
    length_ = first_;
    std::fill(live_.begin(), live_.end(), 0);
    std::fill(kept_.begin(), kept_.end(), 0);
    std::fill(boundary_.begin(), boundary_.end(), first_);
    for (std::size_t unit = 0; unit < kept_.size(); ++unit) list_free_slots(unit, first_);
  }

  /// Provisional rows never reach a boundary: its outcome would depend on their fate.
  std::size_t draft_room(std::size_t finals) const {
    const std::uint64_t end = length_ + finals;
    if (finals == 0 && boundary_due(end)) return 0;
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(max_draft_rows, next_boundary(end) - end));
  }
  /// Final rows from `r` on that may be stored before they are attended: up to the next boundary,
  /// and no more than a tile's worth.
  std::size_t segment_end(std::size_t r, std::size_t finals) const {
    const std::uint64_t at = length_ + r;
    const std::uint64_t boundary = first_ + ((at - first_) / cadence_ + 1) * cadence_;
    return std::min<std::uint64_t>(finals,
                                   std::min<std::uint64_t>(boundary - length_, r + tile_lanes));
  }

  /// Calls `visit(stream index, place)` for every live entry of `unit`, in stream order.
  template <class Visit>
  void for_each_live(std::size_t unit, Visit visit) const {
    const std::size_t n = kept_[unit] + static_cast<std::size_t>(length_ - boundary_of(unit));
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t s = order(unit)[i];
      visit(index_[unit * lanes() + s], place(s));
    }
  }

  // ---- boundaries ------------------------------------------------------------------------------

  /// True if the layer has to decide before the token at stream index `at` is stored.
  bool boundary_due(std::uint64_t at, std::size_t layer = 0) const {
    return at > first_ && (at - first_) % cadence_ == 0 && boundary_[layer] < at;
  }

  /// Decides for one KV head at stream index `at`. Touches nothing of other heads, so heads may
  /// run at once; `end_boundary` closes the round. Returns how many entries were dropped.
  std::size_t decide(std::size_t layer, std::size_t head, std::uint64_t at, slots_view::reader key,
                     slots_view::reader value) {
    const std::size_t unit = layer * kv_heads_ + head;
    const std::size_t n = kept_[unit] + static_cast<std::size_t>(at - boundary_[layer]);
    const auto slots = order(unit).first(n);
    const slots_view view(layer, head, slots, index_.subspan(unit * lanes(), lanes()),
                          vector_.subspan(head * head_dim_, head_dim_), key, value);
    const claim_scratch scratch{taken_.subspan(head * slots_, slots_),
                                score_.subspan(head * slots_, slots_),
                                candidate_.subspan(head * slots_, slots_)};
    claim_round(keep_, view, first_, scratch);
    std::size_t stays = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t s = slots[i];
      set_live(unit, s, scratch.taken[i] != 0);
      if (scratch.taken[i] != 0) slots[stays++] = s;
    }
    kept_[unit] = static_cast<std::uint32_t>(stays);
    list_free_slots(unit, at);
    return n - stays;
  }
  void end_boundary(std::size_t layer, std::uint64_t at) { boundary_[layer] = at; }

  // ---- one step --------------------------------------------------------------------------------

  void begin(const step_rows&) {}
  /// Lays out the layer's provisional rows, once its boundaries have run.
  void prepare(std::size_t layer, const step_rows& rows) {
    if (rows.drafts() == 0) return;
    for (std::size_t unit = layer * kv_heads_; unit < (layer + 1) * kv_heads_; ++unit)
      place_drafts(
          rows,
          [&](std::size_t depth) { return place(slot_of(unit, length_ + rows.finals() + depth)); },
          static_cast<std::uint32_t>(tiles_),
          draft_place_.subspan(unit * max_drafts_, max_drafts_));
    if (!Renumbers) return;
    for (std::size_t unit = layer * kv_heads_; unit < (layer + 1) * kv_heads_; ++unit)
      for (std::size_t i = 0; i < rows.drafts(); ++i) {
        const tile_place p = draft_place(unit, i);
        ranks(unit)[p.tile * tile_lanes + p.lane] =
            static_cast<std::uint32_t>(query_position(unit, rows, rows.finals() + i));
      }
  }

  tile_place place(std::size_t unit, const step_rows& rows, std::size_t r) const {
    return r < rows.finals() ? home(unit, rows, r) : draft_place(unit, r - rows.finals());
  }
  tile_place home(std::size_t unit, const step_rows& rows, std::size_t r) const {
    return place(slot_of(unit, length_ + rows.offset(r)));
  }
  std::uint64_t query_position(std::size_t unit, const step_rows& rows, std::size_t r) const {
    const std::uint64_t index = length_ + rows.offset(r);
    return Renumbers ? kept_[unit] + (index - boundary_of(unit)) : index;
  }
  bool uses_sink_variant(const step_rows&) const { return false; }
  std::uint64_t sink_query_position() const { return 0; }
  /// Rank of every lane `[physical tile, 32]`, for renumbered keys.
  std::span<std::uint32_t> ranks(std::size_t unit) const {
    const std::size_t n = physical_tiles() * tile_lanes;
    return rank_.subspan(unit * n, n);
  }

  // ---- what rows read --------------------------------------------------------------------------

  std::size_t splits(std::size_t, const step_rows&, std::size_t, std::size_t) const {
    return most_splits();
  }
  void plan(std::size_t unit, const step_rows& rows, std::size_t first, std::size_t last,
            std::size_t split, visit_list& list) const {
    plan_visits(*this, unit, rows, first, last, split, list);
  }
  void read_lanes(std::size_t unit, const step_rows& rows, std::size_t r, std::uint64_t split,
                  split_masks& masks) const {
    auto& lanes = masks.lanes[own_variant];
    const std::size_t begin = split * split_tiles, end = std::min(begin + split_tiles, tiles_);
    for (std::size_t t = begin; t < end; ++t) lanes[t - begin] = live_[unit * tiles_ + t];
    // The step's own final rows become live with the commit.
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t last = std::min(t + 1, length_ + rows.finals());
    for (std::uint64_t i = std::max(length_, boundary_of(unit)); i < last; ++i) {
      const std::uint32_t s = slot_of(unit, i);
      if (s / tile_lanes >= begin && s / tile_lanes < end)
        lanes[s / tile_lanes - begin] |= 1u << s % tile_lanes;
    }
  }
  std::uint32_t physical(std::uint64_t tile) const { return static_cast<std::uint32_t>(tile); }
  std::uint64_t draft_address(std::size_t unit, const step_rows& rows, std::size_t draft) const {
    return slot_of(unit, length_ + rows.finals() + rows.depth(draft));
  }
  tile_place draft_place(std::size_t unit, std::size_t draft) const {
    return draft_place_[unit * max_drafts_ + draft];
  }

 private:
  std::size_t lanes() const { return tiles_ * tile_lanes; }
  std::uint64_t boundary_of(std::size_t unit) const { return boundary_[unit / kv_heads_]; }
  std::uint64_t next_boundary(std::uint64_t at) const {
    return first_ + (at - first_ + cadence_ - 1) / cadence_ * cadence_;
  }
  /// Kept slots in stream order, then the slots that the tokens since the boundary take.
  std::span<std::uint32_t> order(std::size_t unit) const {
    return order_.subspan(unit * slots_, slots_);
  }
  std::uint32_t slot_of(std::size_t unit, std::uint64_t index) const {
    return order(unit)[kept_[unit] + static_cast<std::size_t>(index - boundary_of(unit))];
  }
  static tile_place place(std::uint32_t s) {
    return {s / static_cast<std::uint32_t>(tile_lanes), s % static_cast<std::uint32_t>(tile_lanes)};
  }
  void set_live(std::size_t unit, std::uint32_t s, bool live) {
    std::uint32_t& word = live_[unit * tiles_ + s / tile_lanes];
    const std::uint32_t bit = 1u << s % tile_lanes;
    word = live ? word | bit : word & ~bit;
  }

  /// Appends the lowest free slots to the order, in rising order, for the tokens from `at` to the
  /// next boundary, and gives every slot in the order its rank. O(slots).
  void list_free_slots(std::size_t unit, std::uint64_t at) {
    const auto slots = order(unit);
    std::size_t n = kept_[unit];
    const std::size_t wanted = n + cadence_;
    for (std::size_t t = 0; t < tiles_ && n < wanted; ++t)
      for (std::uint32_t free = ~live_[unit * tiles_ + t]; free != 0 && n < wanted;
           free &= free - 1) {
        const std::size_t s = t * tile_lanes + static_cast<std::size_t>(std::countr_zero(free));
        if (s >= slots_) break;
        index_[unit * lanes() + s] = at + (n - kept_[unit]);
        slots[n++] = static_cast<std::uint32_t>(s);
      }
    if (!Renumbers) return;
    for (std::size_t i = 0; i < n; ++i) ranks(unit)[slots[i]] = static_cast<std::uint32_t>(i);
  }

  Keep keep_;
  std::uint64_t first_, length_;
  std::size_t cadence_, kv_heads_, layers_, slots_, tiles_;
  std::size_t draft_tiles_ = 0, max_drafts_ = 0, head_dim_ = 0;

  arena_plan::block<std::uint32_t> live_block_, kept_block_, order_block_, rank_block_,
      candidate_block_;
  arena_plan::block<std::uint64_t> index_block_, boundary_block_;
  arena_plan::block<tile_place> draft_block_;
  arena_plan::block<std::uint8_t> taken_block_;
  arena_plan::block<float> score_block_, vector_block_;

  std::span<std::uint32_t> live_;       // [unit, tile] lanes that hold a token
  std::span<std::uint32_t> kept_;       // [unit] entries left by the last boundary
  std::span<std::uint32_t> order_;      // [unit, entry] slots in stream order
  std::span<std::uint64_t> index_;      // [unit, slot] stream index
  std::span<std::uint32_t> rank_;       // [unit, physical tile, 32]
  std::span<std::uint64_t> boundary_;   // [layer] where the layer last decided
  std::span<tile_place> draft_place_;   // [unit, draft]
  std::span<std::uint8_t> taken_;       // [kv_head, entry] scratch, and the next three
  std::span<float> score_;              // [kv_head, entry]
  std::span<std::uint32_t> candidate_;  // [kv_head, entry]
  std::span<float> vector_;             // [kv_head, head_dim]
};

}  // namespace weir
