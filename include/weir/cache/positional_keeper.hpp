// The keeper of policies that look only at positions: everything, or sinks and a window.
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

#include <weir/cache/cache_options.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/kv_shape.hpp>
#include <weir/cache/layout/contiguous.hpp>
#include <weir/cache/visit_plan.hpp>
#include <weir/core/arena.hpp>

namespace weir {

template <class Keep, bool Renumbers>
class positional_keeper {
 public:
  /// Nothing to decide, so nothing that could run at a boundary.
  static constexpr bool has_boundaries = false;
  /// Renumbering needs no unrotated keys: only the distance to the sinks differs, and that is
  /// the query's business.
  static constexpr bool stores_rotated_keys = true;
  /// False if the stream is refused more tokens rather than losing old ones.
  static constexpr bool evicts = !std::is_same_v<Keep, keep_all>;

  positional_keeper(arena_plan&, const kv_shape& shape, const Keep& keep,
                    const cache_options& options)
      : first_(options.first_index), length_(options.first_index) {
    using error::bad_config, error::require;
    const std::size_t drafts = options.max_draft_rows;
    if constexpr (!evicts) {
      require<bad_config>(keep.capacity > 0 && keep.capacity <= std::size_t{1} << 31,
                          "keep_all.capacity: ", keep.capacity, " (expected 1 to 2^31)");
      window_ = keep.capacity;
      layout_ = {0, (keep.capacity + tile_lanes - 1) / tile_lanes};
    } else {
      sinks_ = keep.budget(claimed_end::first);
      window_ = keep.budget(claimed_end::last);
      require<bad_config>(window_ >= 1, "keep: a window of 0 (expected at least 1, the row's own)");
      require<bad_config>(sinks_ + window_ >= 2, "keep: sinks + window of ", sinks_ + window_,
                          " (expected at least 2)");
      require<bad_config>(drafts < window_, "cache_options.max_draft_rows: ", drafts,
                          " (expected less than the window of ", window_, ")");
      const auto tiles = [](std::size_t n) { return (n + tile_lanes - 1) / tile_lanes; };
      layout_ = {tiles(sinks_), tiles(window_ - 1) + 1 + tiles(drafts + 1)};
    }
    if (Renumbers && shape.trained_context > 0)
      require<bad_config>(most_entries() <= shape.trained_context, "keep: ", most_entries(),
                          " entries renumbered within the cache (expected at most the trained "
                          "context of ",
                          shape.trained_context, ")");
    draft_tiles_ =
        draft_tiles(drafts, options.max_draft_width, (drafts + tile_lanes - 1) / tile_lanes);
  }

  void bind(const arena&) {}

  // ---- sizes -----------------------------------------------------------------------------------

  std::size_t physical_tiles() const { return layout_.tiles() + draft_tiles_; }
  /// Most entries a row reads.
  std::size_t most_entries() const { return sinks_ + window_; }
  /// Most splits a row's entries lie in.
  std::size_t most_splits() const {
    return sinks_ / split_lanes + (window_ + max_draft_rows) / split_lanes + 4;
  }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  void append(std::size_t tokens) { length_ += tokens; }
  void take_back() { --length_; }
  void reset() { length_ = first_; }

  /// Depth to which provisional rows may go behind `finals` final ones.
  std::size_t draft_room(std::size_t) const { return max_draft_rows; }
  /// Final rows that can be appended before the stream is full.
  std::uint64_t room() const {
    if constexpr (!evicts) return first_ + window_ - length_;
    return std::numeric_limits<std::uint64_t>::max() - length_;
  }
  /// Final rows from `r` on that may be stored before they are attended: up to the tile's end, so
  /// that the ring never overwrites what a row of the step still reads.
  std::size_t segment_end(std::size_t r, std::size_t finals) const {
    return std::min<std::uint64_t>(finals, r + tile_lanes - (length_ + r) % tile_lanes);
  }

  /// Entries that the next token could read, sinks first; `[first, last)` stream indices.
  struct occupancy {
    std::uint64_t sinks_end, window_begin, end;
  };
  occupancy live() const {
    const std::uint64_t sinks_end = std::min(length_, first_ + sinks_);
    const std::uint64_t begin =
        evicts && window_ - 1 < length_ - first_ ? length_ - (window_ - 1) : first_;
    return {sinks_end, std::max(sinks_end, begin), length_};
  }

  /// Calls `visit(stream index, place)` for every live entry of any unit, in stream order.
  template <class Visit>
  void for_each_live(std::size_t, Visit visit) const {
    const occupancy o = live();
    for (std::uint64_t i = first_; i < o.sinks_end; ++i) visit(i, place(i));
    for (std::uint64_t i = o.window_begin; i < o.end; ++i) visit(i, place(i));
  }

  // ---- one step --------------------------------------------------------------------------------

  void begin(const step_rows& rows) {
    place_drafts(
        rows, [&](std::size_t depth) { return place(length_ + rows.finals() + depth); },
        static_cast<std::uint32_t>(layout_.tiles()), draft_place_);
  }
  void prepare(std::size_t, const step_rows&) {}

  /// Where row r of the step lies.
  tile_place place(std::size_t unit, const step_rows& rows, std::size_t r) const {
    return r < rows.finals() ? place(length_ + r) : draft_place(unit, r - rows.finals());
  }
  /// Where an address is at home.
  tile_place home(std::size_t, const step_rows& rows, std::size_t r) const {
    return place(length_ + rows.offset(r));
  }
  /// The position of row r's own query (and of its key).
  std::uint64_t query_position(std::size_t, const step_rows& rows, std::size_t r) const {
    return length_ + rows.offset(r);
  }
  /// True if some row sees its sinks from another position than its own.
  bool uses_sink_variant(const step_rows& rows) const {
    return Renumbers && sinks_ > 0 && length_ + rows.size() > first_ + sinks_ + window_;
  }
  /// That position: the largest a renumbered cache has.
  std::uint64_t sink_query_position() const { return first_ + sinks_ + window_ - 1; }

  // ---- what rows read --------------------------------------------------------------------------

  /// Splits that rows [first, last) read from: `split(k)` for k below it, rising.
  std::size_t splits(std::size_t, const step_rows& rows, std::size_t first,
                     std::size_t last) const {
    const split_range s = split_numbers(rows, first, last);
    return s.sinks + static_cast<std::size_t>(s.last - s.first + 1);
  }

  void plan(std::size_t unit, const step_rows& rows, std::size_t first, std::size_t last,
            std::size_t k, visit_list& list) const {
    const split_range s = split_numbers(rows, first, last);
    const std::uint64_t split = k < s.sinks ? first_ / split_lanes + k : s.first + (k - s.sinks);
    plan_visits(*this, unit, rows, first, last, split, list);
  }

  void read_lanes(std::size_t, const step_rows& rows, std::size_t r, std::uint64_t split,
                  split_masks& masks) const {
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t end = std::min(t + 1, length_ + rows.finals());  // behind it: provisional
    const std::uint64_t sinks_end = std::min(end, first_ + sinks_);
    const std::uint64_t begin = std::max(sinks_end, t - first_ >= window_ ? t - window_ + 1 : 0);
    const bool from_afar = Renumbers && t - first_ >= sinks_ + window_;
    for (std::size_t i = 0; i < split_tiles; ++i) {
      const std::uint64_t tile = (split * split_tiles + i) * tile_lanes;
      masks.lanes[from_afar ? sink_variant : own_variant][i] =
          lanes_within(first_, sinks_end, tile);
      masks.lanes[own_variant][i] |= lanes_within(begin, end, tile);
    }
  }

  std::uint32_t physical(std::uint64_t tile) const {
    return layout_.place(tile - first_ / tile_lanes);
  }
  std::uint64_t draft_address(std::size_t, const step_rows& rows, std::size_t draft) const {
    return length_ + rows.finals() + rows.depth(draft);
  }
  tile_place draft_place(std::size_t, std::size_t draft) const { return draft_place_[draft]; }

 private:
  struct split_range {
    std::size_t sinks;          // splits that hold sinks and lie before the window's first
    std::uint64_t first, last;  // the window's splits
  };

  tile_place place(std::uint64_t index) const {
    return {physical(index / tile_lanes), static_cast<std::uint32_t>(index % tile_lanes)};
  }

  split_range split_numbers(const step_rows& rows, std::size_t first, std::size_t last) const {
    std::uint64_t low = length_ + rows.offset(first), high = low;
    for (std::size_t r = first; r < last; ++r) {
      low = std::min<std::uint64_t>(low, length_ + rows.offset(r));
      high = std::max<std::uint64_t>(high, length_ + rows.offset(r));
    }
    const std::uint64_t begin = low - first_ >= window_ ? low - window_ + 1 : first_;
    const std::uint64_t base = first_ / split_lanes;
    const std::uint64_t sink_splits = (sinks_ + split_lanes - 1) / split_lanes;
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
  std::size_t sinks_ = 0, window_ = 0, draft_tiles_ = 0;
  contiguous layout_;
  tile_place draft_place_[max_draft_rows] = {};
};

}  // namespace weir
