// The keeper of policies that look only at positions: everything, or sinks and a window, perhaps
// others for other layers and KV heads.
//
// A row's address is its stream index, and eviction is a mask: row t reads the first S tokens of
// the stream and its own last W. Tiles holding sinks are pinned; the rest lie in a ring that is
// just long enough for the window, the provisional rows and the last token taken back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <weir/cache/attention/visit_plan.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/placement/tile_ring.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

template <class Keep, bool Renumbers>
class positional_keeper {
 public:
  /// Nothing to decide, so nothing that could run at a boundary, and nothing to be told.
  static constexpr bool has_boundaries = false;
  static constexpr bool wants_log_probabilities = false;
  /// Renumbering needs no unrotated keys: only the distance to the sinks differs, and that is
  /// the query's business.
  static constexpr bool stores_rotated_keys = true;

  positional_keeper(arena_plan& plan, const kv_shape& shape, const Keep& keep,
                    const cache_options& options)
      : first_(options.first_index),
        length_(options.first_index),
        kv_heads_(shape.kv_heads),
        max_drafts_(options.max_draft_rows),
        extent_of_(shape.total_kv_heads()) {
    draft_tiles_ = draft_tiles(options.max_draft_rows, options.max_draft_width,
                               tiles_of(options.max_draft_rows));
    draft_block_ = plan.reserve<tile_place>(shape.total_kv_heads(), options.max_draft_rows);
    for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index)
      keep.with_list(head_index, [&](const auto& list) {
        const extent e = extent_for(list, shape, head_index, options.max_draft_rows);
        if (Renumbers && shape.trained_context > 0)
          error::require<error::bad_config>(
              e.entries() <= shape.trained_context, "keep: ", e.entries(),
              " entries renumbered within the cache (expected at most the trained context of ",
              shape.trained_context, ")");
        auto known = std::find(extents_.begin(), extents_.end(), e);
        if (known == extents_.end()) known = extents_.insert(known, e);
        ++known->units;
        extent_of_[head_index] = static_cast<std::uint32_t>(known - extents_.begin());
      });
  }

  void bind(const arena& memory) { draft_place_ = memory[draft_block_]; }
  /// The memory has become a copy of that of another keeper of the same settings: so does the rest.
  void copy_from(const positional_keeper& other) { length_ = other.length_; }

  // ---- sizes -----------------------------------------------------------------------------------

  /// Tiles of each KV head, draft tiles included.
  std::vector<std::size_t> tile_counts() const {
    std::vector<std::size_t> n(extent_of_.size());
    for (std::size_t head_index = 0; head_index < n.size(); ++head_index)
      n[head_index] = at(head_index).ring.tiles() + draft_tiles_;
    return n;
  }
  std::size_t max_tiles() const {
    std::size_t n = 0;
    for (const extent& e : extents_) n += e.units * (e.ring.tiles() + draft_tiles_);
    return n;
  }
  /// Tiles of a KV head that `rows` rows of one stream may be written to, at most, one step or
  /// many.
  std::size_t tiles_written(std::size_t rows) const {
    return rows == 0 ? 0 : tiles_of(rows - 1) + 1 + std::min(draft_tiles_, rows);
  }
  /// Most entries a row reads.
  std::size_t max_entries() const {
    std::size_t most = 0;
    for (const extent& e : extents_) most = std::max(most, e.entries());
    return most;
  }
  /// Most splits a row's entries lie in.
  std::size_t max_splits() const {
    std::size_t most = 0;
    for (const extent& e : extents_)
      most = std::max(most, e.sinks / split_lanes + (e.window + max_draft_rows) / split_lanes + 4);
    return most;
  }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  void append(const step_rows& rows, std::span<const std::size_t> path, executor&) {
    length_ += rows.finals() + path.size();
  }
  void take_back() { --length_; }
  void reset() { length_ = first_; }

  /// Depth to which provisional rows may go behind `finals` final ones.
  std::size_t draft_room(std::size_t) const { return max_draft_rows; }
  std::uint64_t finals_room() const { return std::numeric_limits<std::uint64_t>::max(); }
  /// Final rows that can be appended before the stream is full.
  std::uint64_t room() const {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max() - length_;
    for (const extent& e : extents_)
      if (!e.evicts) least = std::min<std::uint64_t>(least, first_ + e.window - length_);
    return least;
  }
  /// Entries that have been lost for good when `length` tokens have come.
  std::uint64_t evicted(std::uint64_t length) const {
    std::uint64_t gone = 0;
    for (const extent& e : extents_)
      if (e.evicts && length - first_ >= e.entries())
        gone += (length - first_ - e.entries() + 1) * e.units;
    return gone;
  }
  /// Final rows from `r` on that may be stored before they are attended: up to the tile's end, so
  /// that the ring never overwrites what a row of the step still reads.
  std::size_t segment_end(std::size_t r, std::size_t finals) const {
    return std::min<std::uint64_t>(finals, r + tile_lanes - (length_ + r) % tile_lanes);
  }

  /// Calls `visit(stream index, place)` for every live entry of a KV head, in stream order.
  template <class Visit>
  void for_each_live(std::size_t head_index, Visit visit) const {
    const extent& e = at(head_index);
    const std::uint64_t sinks_end = std::min(length_, first_ + e.sinks);
    const std::uint64_t begin =
        e.evicts && e.window - 1 < length_ - first_ ? length_ - (e.window - 1) : first_;
    for (std::uint64_t i = first_; i < sinks_end; ++i) visit(i, place(head_index, i));
    for (std::uint64_t i = std::max(sinks_end, begin); i < length_; ++i)
      visit(i, place(head_index, i));
  }

  // ---- one step --------------------------------------------------------------------------------

  /// Lays out the layer's provisional rows.
  void prepare(std::size_t layer, const step_rows& rows) {
    for (std::size_t head_index = layer * kv_heads_; head_index < (layer + 1) * kv_heads_;
         ++head_index)
      place_drafts(
          rows,
          [&](std::size_t depth) { return place(head_index, length_ + rows.finals() + depth); },
          static_cast<std::uint32_t>(at(head_index).ring.tiles()),
          draft_place_.subspan(head_index * max_drafts_, max_drafts_));
  }

  /// Where row r of the step lies.
  tile_place place(std::size_t head_index, const step_rows& rows, std::size_t r) const {
    return r < rows.finals() ? place(head_index, length_ + r)
                             : draft_place(head_index, r - rows.finals());
  }
  /// Where an address is at home.
  tile_place home(std::size_t head_index, const step_rows& rows, std::size_t r) const {
    return place(head_index, length_ + rows.offset(r));
  }
  /// The position of row r's own query (and of its key).
  std::uint64_t query_position(std::size_t, const step_rows& rows, std::size_t r) const {
    return length_ + rows.offset(r);
  }
  /// True if some row of the step sees a KV head's sinks from another position than its own.
  bool uses_sink_variant(std::size_t head_index, const step_rows& rows) const {
    const extent& e = at(head_index);
    return Renumbers && e.sinks > 0 && length_ + rows.size() > first_ + e.entries();
  }
  /// Those positions, the largest that renumbered caches have, and which of them is a KV head's.
  std::vector<position> sink_query_positions() const {
    std::vector<position> all;
    all.reserve(extents_.size());
    for (const extent& e : extents_) all.push_back({first_ + e.entries() - 1});
    return all;
  }
  std::size_t sink_query_number(std::size_t head_index) const { return extent_of_[head_index]; }

  // ---- what rows read --------------------------------------------------------------------------

  /// Splits that rows [first, last) read from: `split(k)` for k below it, rising.
  std::size_t splits(std::size_t head_index, const step_rows& rows, std::size_t first,
                     std::size_t last) const {
    const split_range s = split_numbers(at(head_index), rows, first, last);
    return s.sinks + static_cast<std::size_t>(s.last - s.first + 1);
  }

  void plan(std::size_t head_index, const step_rows& rows, std::size_t first, std::size_t last,
            std::size_t k, visit_list& list) const {
    const split_range s = split_numbers(at(head_index), rows, first, last);
    const std::uint64_t split = k < s.sinks ? first_ / split_lanes + k : s.first + (k - s.sinks);
    plan_visits(*this, head_index, rows, first, last, split, list);
  }

  void read_lanes(std::size_t head_index, const step_rows& rows, std::size_t r, std::uint64_t split,
                  split_masks& masks) const {
    const extent& e = at(head_index);
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t end = std::min(t + 1, length_ + rows.finals());  // behind it: provisional
    const std::uint64_t sinks_end = std::min(end, first_ + e.sinks);
    const std::uint64_t begin = std::max(sinks_end, t - first_ >= e.window ? t - e.window + 1 : 0);
    const bool from_afar = Renumbers && t - first_ >= e.entries();
    for (std::size_t i = 0; i < split_tiles; ++i) {
      const std::uint64_t tile = (split * split_tiles + i) * tile_lanes;
      masks.lanes[from_afar ? sink_variant : own_variant][i] =
          lanes_within(first_, sinks_end, tile);
      masks.lanes[own_variant][i] |= lanes_within(begin, end, tile);
    }
  }

  std::uint32_t physical(std::size_t head_index, std::uint64_t tile) const {
    return at(head_index).ring.place(tile - first_ / tile_lanes);
  }
  std::uint64_t draft_address(std::size_t, const step_rows& rows, std::size_t draft) const {
    return length_ + rows.finals() + rows.depth(draft);
  }
  tile_place draft_place(std::size_t head_index, std::size_t draft) const {
    return draft_place_[head_index * max_drafts_ + draft];
  }

 private:
  /// What some KV heads keep.
  struct extent {
    std::size_t sinks = 0, window = 0;
    bool evicts = true;  ///< false: the stream is refused more tokens rather than losing old ones
    tile_ring ring = {};
    std::size_t units = 0;  ///< how many

    std::size_t entries() const { return sinks + window; }
    bool operator==(const extent& other) const {
      return sinks == other.sinks && window == other.window && evicts == other.evicts;
    }
  };
  struct split_range {
    std::size_t sinks;          // splits that hold sinks and lie before the window's first
    std::uint64_t first, last;  // the window's splits
  };

  static std::size_t tiles_of(std::size_t n) { return (n + tile_lanes - 1) / tile_lanes; }

  static extent extent_for(const keep_all& keep, const kv_shape&, std::size_t, std::size_t) {
    const std::size_t capacity = keep.checked_capacity();
    return {0, capacity, false, {0, tiles_of(capacity)}};
  }
  template <class... Policies>
  static extent extent_for(const keep<Policies...>& keep, const kv_shape& shape,
                           std::size_t head_index, std::size_t drafts) {
    using error::bad_config, error::require;
    extent e;
    (void)budget_in(keep, shape, head_index / shape.kv_heads,
                    head_index % shape.kv_heads);  // in range
    keep.for_each([&](const auto& m) {
      const std::size_t n =
          budget_of(m, shape, head_index / shape.kv_heads, head_index % shape.kv_heads);
      (m.end == anchor::first ? e.sinks : e.window) += n;
    });
    require<bad_config>(e.window >= 1, "keep: a window of 0 (expected at least 1, the row's own)");
    require<bad_config>(e.entries() >= 2, "keep: sinks + window of ", e.entries(),
                        " (expected at least 2)");
    require<bad_config>(drafts < e.window, "cache_options.max_draft_rows: ", drafts,
                        " (expected less than the window of ", e.window, ")");
    e.ring = {tiles_of(e.sinks), tiles_of(e.window - 1) + 1 + tiles_of(drafts + 1)};
    return e;
  }

  const extent& at(std::size_t head_index) const { return extents_[extent_of_[head_index]]; }

  tile_place place(std::size_t head_index, std::uint64_t index) const {
    return {physical(head_index, index / tile_lanes),
            static_cast<std::uint32_t>(index % tile_lanes)};
  }

  split_range split_numbers(const extent& e, const step_rows& rows, std::size_t first,
                            std::size_t last) const {
    std::uint64_t low = length_ + rows.offset(first), high = low;
    for (std::size_t r = first; r < last; ++r) {
      low = std::min<std::uint64_t>(low, length_ + rows.offset(r));
      high = std::max<std::uint64_t>(high, length_ + rows.offset(r));
    }
    const std::uint64_t begin = low - first_ >= e.window ? low - e.window + 1 : first_;
    const std::uint64_t base = first_ / split_lanes;
    const std::uint64_t sink_splits = (e.sinks + split_lanes - 1) / split_lanes;
    const std::uint64_t window_first = begin / split_lanes;
    return {static_cast<std::size_t>(std::min(sink_splits, window_first - base)), window_first,
            high / split_lanes};
  }

  /// Lanes of the tile starting at `tile` whose address lies in [begin, end).
  static std::uint32_t lanes_within(std::uint64_t begin, std::uint64_t end, std::uint64_t tile) {
    if (begin >= end || end <= tile || begin >= tile + tile_lanes) return 0;
    const std::uint64_t low = std::max(begin, tile) - tile;
    const std::uint64_t high = std::min(end, tile + tile_lanes) - tile;
    return static_cast<std::uint32_t>((std::uint64_t{1} << high) - (std::uint64_t{1} << low));
  }

  std::uint64_t first_, length_;
  std::size_t kv_heads_, max_drafts_, draft_tiles_ = 0;
  std::vector<extent> extents_;           // the different ones
  std::vector<std::uint32_t> extent_of_;  // [head_index]
  arena_plan::block<tile_place> draft_block_;
  std::span<tile_place> draft_place_;  // [head_index, draft]
};

}  // namespace weir::inline WEIR_TARGET
