// The keeper of policies that look at more than positions: it knows which token lies in which slot,
// when members are told what, and when they decide. Nothing is moved, unless budgets change, and
// nothing is re-rotated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <weir/cache/arrivals.hpp>
#include <weir/cache/attend_job.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/member_lists.hpp>
#include <weir/cache/observations.hpp>
#include <weir/cache/slot_map.hpp>
#include <weir/cache/visit_plan.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/thread_pool.hpp>

namespace weir {

template <class Keep, bool Renumbers>
class scored_keeper {
 public:
  static constexpr bool has_boundaries = true;
  /// True if a head may decide while others do something else.
  static constexpr bool heads_decide_alone = !member_lists<Keep>::by_layer;
  /// Sets with holes are renumbered as keys are read.
  static constexpr bool stores_rotated_keys = !Renumbers;
  static constexpr bool observes = keep_observes<Keep>;
  /// True if a step may not run over a boundary.
  static constexpr bool cuts_forward = keep_cuts_forward<Keep>;
  static constexpr bool wants_log_probabilities = includes(keep_needs<Keep>, told::log_probability);

  scored_keeper(arena_plan& plan, const kv_shape& shape, const Keep& keep,
                const cache_options& options)
      : shape_(shape),
        first_(options.first_index),
        length_(options.first_index),
        cadence_(options.cadence),
        lists_(plan, keep, shape, options),
        draft_tiles_(
            draft_tiles(options.max_draft_rows, options.max_draft_width, tiles_of(most_entries()))),
        max_drafts_(options.max_draft_rows),
        may_take_back_(options.may_take_back),
        map_(plan, shape.units(), most_entries(), draft_tiles_, Renumbers),
        rows_seen_(plan, shape, options, map_.tiles()),
        arrivals_(plan, options.cadence) {
    using error::bad_config, error::require;
    require<bad_config>(most_entries() < std::size_t{1} << 31, "keep: budget + cadence of ",
                        most_entries(), " entries (expected below 2^31)");
    if (Renumbers && shape.trained_context > 0)
      require<bad_config>(most_entries() <= shape.trained_context, "keep: budget + cadence of ",
                          most_entries(),
                          " entries renumbered within the cache (expected at most the trained "
                          "context of ",
                          shape.trained_context, ")");
    boundary_block_ = plan.reserve<std::uint64_t>(shape.units());
    draft_block_ = plan.reserve<tile_place>(shape.units() * options.max_draft_rows);
  }

  /// Finds its memory; `reset` follows, or the memory is a copy of another keeper's.
  void bind(const arena& memory) {
    lists_.bind(memory);
    map_.bind(memory);
    rows_seen_.bind(memory);
    arrivals_.bind(memory);
    boundary_ = memory[boundary_block_];
    draft_place_ = memory[draft_block_];
    pending_.reserve(1 + max_drafts_);
  }
  /// The memory has become a copy of that of another keeper of the same settings: so does the rest.
  /// No allocation.
  void copy_from(const scored_keeper& other) {
    length_ = other.length_;
    rows_seen_.copy_from(other.rows_seen_);
    arrivals_.copy_from(other.arrivals_);
    pending_.assign(other.pending_.begin(), other.pending_.end());
  }

  // ---- sizes -----------------------------------------------------------------------------------

  /// Most tiles of each unit, draft tiles included.
  std::vector<std::size_t> tile_counts() const {
    std::vector<std::size_t> n(shape_.units());
    for (std::size_t unit = 0; unit < n.size(); ++unit) n[unit] = home_tiles(unit) + draft_tiles_;
    return n;
  }
  /// Most tiles that all units together hold at once.
  std::size_t most_tiles() const {
    return lists_.budgets().most_tiles(cadence_) + shape_.units() * draft_tiles_;
  }
  /// Tiles of a unit that `rows` rows of one stream may be written to, at most, one step or many.
  std::size_t tiles_written(std::size_t rows) const {
    return rows + std::min(draft_tiles_, rows);  // a token may come to any slot that is free
  }
  std::size_t most_entries() const { return lists_.slots(); }
  std::size_t most_splits() const { return splits_of(map_.tiles()); }
  /// Ranks that a renumbered entry may have.
  std::size_t ranks() const { return most_entries(); }
  std::size_t rank_stride() const { return map_.rank_stride(); }
  /// Tiles of a unit that hold tokens of the stream up to the next boundary.
  std::size_t tiles_in_use(std::size_t unit) const { return map_.tiles_in_use(unit); }
  /// The same, at most.
  std::size_t home_tiles(std::size_t unit) const {
    return tiles_of(lists_.budgets().most(unit) + cadence_);
  }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  std::uint64_t room() const {
    const std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
    return (lists_.capacity() == 0 ? end : first_ + lists_.capacity()) - length_;
  }

  /// The step's final rows and the provisional ones of `path` join the stream.
  void append(const step_rows& rows, std::span<const std::size_t> path, executor& threads) {
    const std::size_t finals = rows.finals(), tokens = finals + path.size();
    if (tokens == 0) return;
    if (finals == 0 && !pending_.empty())  // else it was done layer by layer
      threads.for_range(shape_.units(), shape_.units() * pending_.size() * map_.lanes(),
                        [&](std::size_t first, std::size_t last) {
                          for (std::size_t unit = first; unit < last; ++unit) observe_pending(unit);
                        });
    for (std::size_t unit = 0; unit < shape_.units(); ++unit)
      for (std::uint64_t i = std::max(length_, boundary_[unit]); i < length_ + tokens; ++i)
        map_.set_live(unit, slot_of(unit, i), true);
    for (std::size_t i = 0; i < tokens; ++i)
      arrivals_.set_kind(length_ + i, rows.kind(i < finals ? i : path[i - finals]));
    if constexpr (observes) {
      pending_.clear();
      rows_seen_.turn_over();
      if (finals > 0 && may_take_back_) pending_.push_back({length_ + finals - 1, 0});
      for (std::size_t i = 0; i < path.size(); ++i)
        pending_.push_back({length_ + finals + i, 1 + path[i] - finals});
    }
    length_ += tokens;
  }
  void take_back() {
    --length_;
    for (std::size_t unit = 0; unit < shape_.units(); ++unit)
      map_.set_live(unit, slot_of(unit, length_), false);
    if (!pending_.empty()) pending_.pop_back();
    arrivals_.forget(length_);
  }
  void reset() {
    length_ = first_;
    map_.reset();
    lists_.reset();
    arrivals_.reset(first_);
    pending_.clear();
    std::fill(boundary_.begin(), boundary_.end(), first_);
    for (std::size_t unit = 0; unit < shape_.units(); ++unit) list_free_slots(unit, first_);
  }
  void tell_log_probability(std::uint64_t index, float value) { arrivals_.tell(index, value); }

  /// Provisional rows never reach a boundary: its outcome would depend on their fate.
  std::size_t draft_room(std::size_t finals) const {
    const std::uint64_t end = length_ + finals;
    if (finals == 0 && boundary_due(end)) return 0;
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(max_draft_rows, boundary_from(end) - end));
  }
  /// Final rows that one step may have: up to the next boundary where that needs the whole forward
  /// pass.
  std::uint64_t finals_room() const {
    return cuts_forward ? next_boundary(length_) - length_
                        : std::numeric_limits<std::uint64_t>::max();
  }
  /// Final rows from `r` on that may be stored before they are attended: up to the next boundary,
  /// and no more than a tile's worth.
  std::size_t segment_end(std::size_t r, std::size_t finals) const {
    const std::size_t most = observes ? rows_seen_.segment_rows : tile_lanes;
    return std::min<std::uint64_t>(
        finals, std::min<std::uint64_t>(next_boundary(length_ + r) - length_, r + most));
  }

  /// Calls `visit(stream index, place)` for every live entry of `unit`, in stream order.
  template <class Visit>
  void for_each_live(std::size_t unit, Visit visit) const {
    const std::size_t n = entries(unit, length_);
    for (const std::uint32_t s : map_.order(unit).first(n))
      visit(map_.index(unit)[s], slot_map::place(s));
  }

  // ---- observation -----------------------------------------------------------------------------

  /// Where rows [first, last) of the step hand out what they see; nowhere if nobody asks.
  handout_memory handout(const step_rows& rows, std::size_t first, std::size_t last) const {
    for (std::size_t r = first; r < last; ++r)
      if (is_watched(length_ + rows.offset(r))) return rows_seen_.handout();
    return {};
  }
  /// Before a unit's rows are attended: what comes of them will be wanted near.
  void ask_for_notes(std::size_t unit) const {
    lists_.ask_for_notes(unit, tiles_in_use(unit) * tile_lanes, false);
  }
  /// Rows of the last step that were staged and have stayed, before anything else happens to the
  /// unit. Not while the last of them may still be taken back.
  void observe_pending(std::size_t unit) {
    for (const pending_row& p : pending_)
      if (is_watched(p.index))
        observe(unit, p.index, rows_seen_.staged(unit, tiles_in_use(unit), p.staged));
  }
  /// What rows [first, last) of the step, just attended, saw in a unit, which they handed out at
  /// `place`; `q` `[row, q_head, head_dim]` is theirs, unrotated.
  void observe_rows(std::size_t unit, std::size_t place, const step_rows& rows, std::size_t first,
                    std::size_t last, const float* q) {
    for (std::size_t r = first; r < last; ++r) {
      const std::uint64_t index = length_ + rows.offset(r);
      if (!is_watched(index)) continue;
      const float* const query =
          q + ((r - first) * shape_.q_heads + unit % shape_.kv_heads * shape_.group()) *
                  shape_.head_dim;
      if (r + (may_take_back_ ? 1 : 0) < rows.finals())
        observe(unit, index,
                rows_seen_.read(place, tiles_in_use(unit), r - first, last - first, query));
      else
        rows_seen_.stage(unit, place, tiles_in_use(unit), r + 1 - rows.finals(), r - first,
                         last - first, query);
    }
  }
  /// Tells the members of a unit's list what the row at `index`, the newest of them, saw there.
  void observe(std::size_t unit, std::uint64_t index, observed_row::record row) {
    row.first_index = first_;
    row.index = index;
    row.boundary = next_boundary(index);
    lists_.observe(unit, row, map_.index(unit));
  }
  /// What member number `m` of a unit's list remembers.
  entry_memory memory(std::size_t m, std::size_t unit) const { return lists_.memory(m, unit); }

  // ---- boundaries ------------------------------------------------------------------------------

  /// True if the layer has to decide before the token at stream index `at` is stored.
  bool boundary_due(std::uint64_t at, std::size_t layer = 0) const {
    return at > first_ && (at - first_) % cadence_ == 0 && boundary_[layer * shape_.kv_heads] < at;
  }
  /// True if the next step would decide without having been told what it needs.
  bool lacks_log_probabilities() const {
    return wants_log_probabilities && boundary_due(length_) && arrivals_.told_until() < length_;
  }

  /// Lets the heads of a layer decide at stream index `at`, up to which final rows of the step may
  /// have come. `access(head)`: its head_access. Returns how many entries were dropped.
  template <class Access>
  std::size_t decide(std::size_t layer, std::uint64_t at, const step_rows& rows, Access access,
                     executor& threads) {
    return with_steps(at, rows, access, [&](auto enter, auto drop) {
      return lists_.decide(layer, enter, drop, threads);
    });
  }
  /// The same of one head, in the working memory of head `place`.
  template <class Access>
  std::size_t decide_head(std::size_t unit, std::size_t place, std::uint64_t at,
                          const step_rows& rows, Access access) {
    return with_steps(at, rows, access, [&](auto enter, auto drop) {
      return lists_.decide_head(unit, place, enter, drop);
    });
  }
  /// A layer has decided, and attended the rows that came next.
  void end_boundary(std::size_t layer) {
    if (layer + 1 == shape_.layers) lists_.apportion_layers();
  }

  // ---- one step --------------------------------------------------------------------------------

  /// Lays out the layer's provisional rows, once its boundaries have run.
  void prepare(std::size_t layer, const step_rows& rows) {
    if (rows.drafts() == 0) return;
    for (std::size_t unit = layer * shape_.kv_heads; unit < (layer + 1) * shape_.kv_heads; ++unit) {
      place_drafts(
          rows,
          [&](std::size_t depth) {
            return slot_map::place(slot_of(unit, length_ + rows.finals() + depth));
          },
          static_cast<std::uint32_t>(home_tiles(unit)),
          draft_place_.subspan(unit * max_drafts_, max_drafts_));
      if (!Renumbers) continue;
      for (std::size_t i = 0; i < rows.drafts(); ++i) {
        const tile_place p = draft_place(unit, i);
        ranks(unit)[p.tile * tile_lanes + p.lane] =
            static_cast<std::uint32_t>(query_position(unit, rows, rows.finals() + i));
      }
    }
  }

  tile_place place(std::size_t unit, const step_rows& rows, std::size_t r) const {
    return r < rows.finals() ? home(unit, rows, r) : draft_place(unit, r - rows.finals());
  }
  tile_place home(std::size_t unit, const step_rows& rows, std::size_t r) const {
    return slot_map::place(slot_of(unit, length_ + rows.offset(r)));
  }
  std::uint64_t query_position(std::size_t unit, const step_rows& rows, std::size_t r) const {
    const std::uint64_t index = length_ + rows.offset(r);
    return Renumbers ? map_.kept(unit) + (index - boundary_[unit]) : index;
  }
  bool uses_sink_variant(std::size_t, const step_rows&) const { return false; }
  std::vector<position> sink_query_positions() const { return {}; }
  std::size_t sink_query_number(std::size_t) const { return 0; }
  /// Rank of every lane `[physical tile, 32]`, for renumbered keys.
  std::span<std::uint32_t> ranks(std::size_t unit) const { return map_.ranks(unit); }

  // ---- what rows read --------------------------------------------------------------------------

  std::size_t splits(std::size_t unit, const step_rows&, std::size_t, std::size_t) const {
    return splits_of(tiles_in_use(unit));
  }
  /// The same right behind a boundary, at most: known before.
  std::size_t splits_behind_boundary(std::size_t unit) const {
    return splits_of(tiles_of(lists_.budgets().of_all(unit) + cadence_));
  }
  void plan(std::size_t unit, const step_rows& rows, std::size_t first, std::size_t last,
            std::size_t split, visit_list& list) const {
    plan_visits(*this, unit, rows, first, last, split, list);
  }
  void read_lanes(std::size_t unit, const step_rows& rows, std::size_t r, std::uint64_t split,
                  split_masks& masks) const {
    auto& lanes = masks.lanes[own_variant];
    const std::size_t begin = split * split_tiles,
                      end = std::min(begin + split_tiles, map_.tiles());
    for (std::size_t t = begin; t < end; ++t) lanes[t - begin] = map_.live(unit)[t];
    // The step's own final rows become live with the commit.
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t last = std::min(t + 1, length_ + rows.finals());
    for (std::uint64_t i = std::max(length_, boundary_[unit]); i < last; ++i) {
      const std::uint32_t s = slot_of(unit, i);
      if (s / tile_lanes >= begin && s / tile_lanes < end)
        lanes[s / tile_lanes - begin] |= 1u << s % tile_lanes;
    }
  }
  std::uint32_t physical(std::size_t, std::uint64_t tile) const {
    return static_cast<std::uint32_t>(tile);
  }
  std::uint64_t draft_address(std::size_t unit, const step_rows& rows, std::size_t draft) const {
    return slot_of(unit, length_ + rows.finals() + rows.depth(draft));
  }
  tile_place draft_place(std::size_t unit, std::size_t draft) const {
    return draft_place_[unit * max_drafts_ + draft];
  }

 private:
  struct pending_row {
    std::uint64_t index;
    std::size_t staged;
  };

  static std::size_t splits_of(std::size_t tiles) {
    return (tiles + split_tiles - 1) / split_tiles;
  }
  static std::size_t tiles_of(std::size_t slots) { return (slots + tile_lanes - 1) / tile_lanes; }
  /// The first boundary from `at` on, and behind it.
  std::uint64_t boundary_from(std::uint64_t at) const {
    return first_ + (at - first_ + cadence_ - 1) / cadence_ * cadence_;
  }
  std::uint64_t next_boundary(std::uint64_t at) const { return boundary_from(at + 1); }
  std::size_t entries(std::size_t unit, std::uint64_t at) const {
    return map_.kept(unit) + static_cast<std::size_t>(at - boundary_[unit]);
  }
  std::uint32_t slot_of(std::size_t unit, std::uint64_t index) const {
    return map_.order(unit)[map_.kept(unit) + static_cast<std::size_t>(index - boundary_[unit])];
  }
  void list_free_slots(std::size_t unit, std::uint64_t at) {
    map_.list_free_slots(unit, at, cadence_, [&](std::uint32_t s) { lists_.clear_notes(unit, s); });
  }
  /// `use(enter, drop)`: how heads that decide at stream index `at` begin and end.
  template <class Access, class Use>
  std::size_t with_steps(std::uint64_t at, const step_rows& rows, Access access, Use use) {
    const auto came = [&](std::uint64_t index) {
      return index < length_ ? arrivals_[index] : arrival{.kind = rows.kind(index - length_)};
    };
    const auto enter = [&](deciding_head& head) {
      const std::size_t tiles = tiles_in_use(head.unit);
      head.seen = seen(head.unit, head.place, at);
      head.access = &access(head.unit % shape_.kv_heads)
                         .enter(head.unit / shape_.kv_heads, tiles, lists_.key_sums(head.place));
      if constexpr (keep_describes<Keep>) {  // all that came since the last boundary
        lists_.ask_for_notes(head.unit, tiles * tile_lanes, true);
        for (std::size_t e = map_.kept(head.unit); e < head.entries(); ++e)
          lists_.describe(head, e, came(head.seen.index[head.seen.order[e]]));
      }
    };
    const auto drop = [&](std::size_t unit, std::span<const std::uint8_t> stays) {
      const std::size_t dropped = map_.drop(unit, stays.size(), stays);
      settle(unit, at, access(unit % shape_.kv_heads));
      return dropped;
    };
    return use(enter, drop);
  }
  /// What follows a unit's decision.
  template <class Access>
  void settle(std::size_t unit, std::uint64_t at, Access& access) {
    const std::size_t tiles = tiles_in_use(unit);
    if constexpr (keep_has_changing_budgets<Keep>)
      map_.compact(unit, cadence_, [&](std::uint32_t from, std::uint32_t to) {
        access.move(slot_map::place(from), slot_map::place(to));
        lists_.move_notes(unit, from, to);
      });
    for (std::size_t t = 0; t < tiles; ++t)
      if (map_.live(unit)[t] == 0) access.give_back(t);
    list_free_slots(unit, at);
    boundary_[unit] = at;
  }
  bool is_watched(std::uint64_t index) const {
    return next_boundary(index) - index <= lists_.last_rows();
  }

  /// A unit as it is when the next token's stream index is `at`, seen from a head's place.
  slots_view::record seen(std::size_t unit, std::size_t place, std::uint64_t at) const {
    return {.shape = &shape_,
            .layer = unit / shape_.kv_heads,
            .kv_head = unit % shape_.kv_heads,
            .first_index = first_,
            .boundary = at,
            .cadence = cadence_,
            .order = map_.order(unit).first(entries(unit, at)),
            .index = map_.index(unit),
            .scratch = lists_.view_scratch(place)};
  }

  kv_shape shape_;
  std::uint64_t first_, length_;
  std::size_t cadence_;
  member_lists<Keep> lists_;
  std::size_t draft_tiles_, max_drafts_;
  bool may_take_back_;
  slot_map map_;
  observations<keep_needs<Keep>> rows_seen_;
  arrivals arrivals_;
  std::vector<pending_row> pending_;  // rows of the last step that were staged and stay

  arena_plan::block<std::uint64_t> boundary_block_;
  arena_plan::block<tile_place> draft_block_;
  std::span<std::uint64_t> boundary_;  // [unit] where it last decided
  std::span<tile_place> draft_place_;  // [unit, draft]
};

}  // namespace weir
