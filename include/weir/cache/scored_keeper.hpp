// The keeper of policies that look at more than positions: it knows which token lies in which slot,
// tells members what they asked for, and lets them decide at boundaries. Nothing is moved, unless
// budgets change, and nothing is re-rotated.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <weir/cache/arrivals.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/claim_round.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/layer_budgets.hpp>
#include <weir/cache/member_memory.hpp>
#include <weir/cache/observations.hpp>
#include <weir/cache/slot_map.hpp>
#include <weir/cache/visit_plan.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/thread_pool.hpp>

namespace weir {

template <class Keep, bool Renumbers>
class scored_keeper {
  static constexpr bool by_layer = keep_decides_by_layer<Keep> || keep_apportions_heads<Keep>;

 public:
  static constexpr bool has_boundaries = true;
  /// Sets with holes are renumbered as keys are read.
  static constexpr bool stores_rotated_keys = !Renumbers;
  static constexpr bool observes = keep_observes<Keep>;
  static constexpr bool has_fate = keep_has_fate<Keep>;
  static constexpr bool describes = keep_describes<Keep>;
  /// True if a step may not run over a boundary.
  static constexpr bool cuts_forward = keep_cuts_forward<Keep>;
  static constexpr bool wants_log_probabilities = includes(keep_needs<Keep>, told::log_probability);

  scored_keeper(arena_plan& plan, const kv_shape& shape, const Keep& keep,
                const cache_options& options)
      : keep_(keep),
        shape_(shape),
        first_(options.first_index),
        length_(options.first_index),
        cadence_(options.cadence),
        budgets_(plan, keep, shape),
        draft_tiles_(
            draft_tiles(options.max_draft_rows, options.max_draft_width, tiles_of(most_slots()))),
        max_drafts_(options.max_draft_rows),
        may_take_back_(options.may_take_back),
        map_(plan, shape.units(), most_slots(), draft_tiles_, Renumbers),
        memory_(plan, keep, shape, map_.lanes()),
        rows_seen_(plan, shape, options, map_.tiles()),
        arrivals_(plan, options.cadence) {
    using error::bad_config, error::require;
    require<bad_config>(most_slots() < std::size_t{1} << 31, "keep: budget + cadence of ",
                        most_slots(), " entries (expected below 2^31)");
    if (Renumbers && shape.trained_context > 0)
      require<bad_config>(most_slots() <= shape.trained_context, "keep: budget + cadence of ",
                          most_slots(),
                          " entries renumbered within the cache (expected at most the trained "
                          "context of ",
                          shape.trained_context, ")");
    require<bad_config>(shape.kv_heads <= max_deciding_heads, "keep: ", shape.kv_heads,
                        " KV heads (expected at most ", max_deciding_heads, ")");
    for (std::size_t unit = 0; unit < shape.units(); ++unit)
      keep_.with_list(
          unit, [&](const auto& list) { last_rows_ = std::max(last_rows_, rows_told_to(list)); });
    boundary_block_ = plan.reserve<std::uint64_t>(shape.layers);
    draft_block_ = plan.reserve<tile_place>(shape.units() * options.max_draft_rows);
    taken_block_ = plan.reserve<std::uint8_t>(shape.kv_heads * most_slots());
    score_block_ = plan.reserve<float>(shape.kv_heads * most_slots());
    ranking_block_ = plan.reserve<std::uint64_t>(shape.kv_heads * most_slots());
    vector_block_ = plan.reserve<float>(shape.kv_heads * vector_floats());
    slots_block_ = plan.reserve<slot>(has_fate ? shape.kv_heads * most_slots() : 0);
    pending_.reserve(1 + options.max_draft_rows);
  }

  /// Finds its memory; `reset` follows, or the memory is a copy of another keeper's.
  void bind(const arena& memory) {
    budgets_.bind(memory);
    map_.bind(memory);
    memory_.bind(memory);
    rows_seen_.bind(memory);
    arrivals_.bind(memory);
    boundary_ = memory[boundary_block_];
    draft_place_ = memory[draft_block_];
    taken_ = memory[taken_block_];
    score_ = memory[score_block_];
    ranking_ = memory[ranking_block_];
    slots_ = memory[slots_block_];
    vector_ = memory[vector_block_];
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
    return budgets_.most_tiles(cadence_) + shape_.units() * draft_tiles_;
  }
  std::size_t most_entries() const { return most_slots(); }
  std::size_t most_splits() const { return (map_.tiles() + split_tiles - 1) / split_tiles; }
  /// Ranks that a renumbered entry may have.
  std::size_t ranks() const { return most_slots(); }
  std::size_t rank_stride() const { return map_.rank_stride(); }
  std::size_t lanes() const { return map_.lanes(); }
  /// Tiles of a unit that hold tokens of the stream, at most.
  std::size_t home_tiles(std::size_t unit) const {
    return tiles_of(budgets_.most(unit) + cadence_);
  }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t first_index() const { return first_; }
  std::uint64_t length() const { return length_; }
  std::uint64_t room() const {
    const std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
    return (capacity() == 0 ? end : first_ + capacity()) - length_;
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
      for (std::uint64_t i = std::max(length_, boundary_of(unit)); i < length_ + tokens; ++i)
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
    memory_.reset();
    budgets_.reset(keep_);
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
  /// Rows of the last step that were staged and have stayed, before anything else happens to the
  /// unit. Not while the last of them may still be taken back.
  void observe_pending(std::size_t unit) {
    for (const pending_row& p : pending_)
      if (is_watched(p.index)) observe(unit, p.index, rows_seen_.staged(unit, p.staged));
  }
  /// What rows [first, last) of the step, just attended, saw in a unit, which they handed out at
  /// `place`; `q` `[row, q_head, head_dim]` is the step's, unrotated.
  void observe_rows(std::size_t unit, std::size_t place, const step_rows& rows, std::size_t first,
                    std::size_t last, const float* q) {
    for (std::size_t r = first; r < last; ++r) {
      const std::uint64_t index = length_ + rows.offset(r);
      if (!is_watched(index)) continue;
      const float* const query =
          q + (r * shape_.q_heads + unit % shape_.kv_heads * shape_.group()) * shape_.head_dim;
      if (r + (may_take_back_ ? 1 : 0) < rows.finals())
        observe(unit, index, rows_seen_.read(place, r - first, last - first, query));
      else
        rows_seen_.stage(unit, place, r + 1 - rows.finals(), r - first, last - first, query);
    }
  }
  /// Tells the members of a unit's list what the row at `index`, the newest of them, saw there.
  void observe(std::size_t unit, std::uint64_t index, observed_row::record row) {
    row.first_index = first_;
    row.index = index;
    row.boundary = next_boundary(index);
    keep_.with_list(unit, [&](const auto& list) {
      if constexpr (keep_observes<std::remove_cvref_t<decltype(list)>>) {
        std::size_t m = 0;
        list.for_each([&](const auto& member) {
          if constexpr (observing<std::remove_cvref_t<decltype(member)>>)
            if (row.boundary - index <= rows_told(member))
              member.observe(observed_row(shape_, unit / shape_.kv_heads, unit % shape_.kv_heads,
                                          row, map_.index(unit), memory_.of(list, m, unit)));
          ++m;
        });
      }
    });
  }

  /// What member number `m` of a unit's list remembers.
  entry_memory memory(std::size_t m, std::size_t unit) const {
    return keep_.with_list(unit, [&](const auto& list) { return memory_.of(list, m, unit); });
  }

  /// Introduces row r of the step, whose key and value are stored and which is certain to stay, to
  /// members that are told nothing later on.
  template <class Access>
  void describe_row(std::size_t unit, const step_rows& rows, std::size_t r, Access access) {
    if constexpr (describes && !wants_log_probabilities) {
      const std::size_t head = unit % shape_.kv_heads;
      const slots_view::record record = seen(unit, length_ + rows.offset(r) + 1);
      keep_.with_list(unit, [&](const auto& list) {
        describe(list, unit, record, access(head, key_sums(head)), record.order.size() - 1,
                 {.kind = rows.kind(r)});
      });
    }
  }

  // ---- boundaries ------------------------------------------------------------------------------

  /// True if the layer has to decide before the token at stream index `at` is stored.
  bool boundary_due(std::uint64_t at, std::size_t layer = 0) const {
    return at > first_ && (at - first_) % cadence_ == 0 && boundary_[layer] < at;
  }
  /// True if the next step would decide without having been told what it needs.
  bool lacks_log_probabilities() const {
    return wants_log_probabilities && boundary_due(length_) && arrivals_.told_until() < length_;
  }

  /// Lets the heads of a layer decide at stream index `at`. `access(head, float[head_dim * 32])`
  /// gives a head's entry_access. Returns how many entries were dropped.
  template <class Access>
  std::size_t decide(std::size_t layer, std::uint64_t at, Access access, executor& threads) {
    std::atomic<std::size_t> dropped{0};
    const std::size_t cost = shape_.kv_heads * most_slots() * shape_.head_dim;
    const auto heads = [&](std::size_t first, std::size_t last, executor& inside) {
      dropped += decide_together(layer, first, last, at, access, inside);
    };
    if constexpr (by_layer)
      heads(0, shape_.kv_heads, threads);
    else
      threads.for_range(shape_.kv_heads, cost, [&](std::size_t first, std::size_t last) {
        executor alone;
        for (std::size_t head = first; head < last; ++head) heads(head, head + 1, alone);
      });
    return dropped;
  }
  /// What follows a decision, head by head: `move(head, from, to)` slots, `empty(head, tile)` where
  /// nothing lives any more.
  template <class Move, class Empty>
  void end_boundary(std::size_t layer, std::uint64_t at, Move move, Empty empty) {
    for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
      const std::size_t unit = layer * shape_.kv_heads + head;
      if constexpr (keep_has_changing_budgets<Keep>)
        map_.compact(unit, cadence_, [&](std::uint32_t from, std::uint32_t to) {
          move(head, slot_map::place(from), slot_map::place(to));
          memory_.move_notes(unit, from, to);
        });
      for (std::size_t t = 0; t < home_tiles(unit); ++t)
        if (map_.live(unit)[t] == 0) empty(head, t);
      list_free_slots(unit, at);
    }
    boundary_[layer] = at;
    if (layer + 1 == shape_.layers) budgets_.apportion(keep_);
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
    return Renumbers ? map_.kept(unit) + (index - boundary_of(unit)) : index;
  }
  bool uses_sink_variant(std::size_t, const step_rows&) const { return false; }
  std::vector<position> sink_query_positions() const { return {}; }
  std::size_t sink_query_number(std::size_t) const { return 0; }
  /// Rank of every lane `[physical tile, 32]`, for renumbered keys.
  std::span<std::uint32_t> ranks(std::size_t unit) const { return map_.ranks(unit); }

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
    const std::size_t begin = split * split_tiles,
                      end = std::min(begin + split_tiles, map_.tiles());
    for (std::size_t t = begin; t < end; ++t) lanes[t - begin] = map_.live(unit)[t];
    // The step's own final rows become live with the commit.
    const std::uint64_t t = length_ + rows.offset(r);
    const std::uint64_t last = std::min(t + 1, length_ + rows.finals());
    for (std::uint64_t i = std::max(length_, boundary_of(unit)); i < last; ++i) {
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

  static std::size_t tiles_of(std::size_t slots) { return (slots + tile_lanes - 1) / tile_lanes; }
  std::size_t most_slots() const { return budgets_.most() + cadence_; }
  std::uint64_t boundary_of(std::size_t unit) const { return boundary_[unit / shape_.kv_heads]; }
  /// The first boundary from `at` on, and behind it.
  std::uint64_t boundary_from(std::uint64_t at) const {
    return first_ + (at - first_ + cadence_ - 1) / cadence_ * cadence_;
  }
  std::uint64_t next_boundary(std::uint64_t at) const { return boundary_from(at + 1); }
  std::size_t entries(std::size_t unit, std::uint64_t at) const {
    return map_.kept(unit) + static_cast<std::size_t>(at - boundary_of(unit));
  }
  std::uint32_t slot_of(std::size_t unit, std::uint64_t index) const {
    return map_.order(unit)[map_.kept(unit) + static_cast<std::size_t>(index - boundary_of(unit))];
  }
  void list_free_slots(std::size_t unit, std::uint64_t at) {
    map_.list_free_slots(unit, at, cadence_,
                         [&](std::uint32_t s) { memory_.clear_notes(unit, s); });
  }
  std::size_t vector_floats() const { return (2 + tile_lanes) * shape_.head_dim; }

  /// Tokens after which the stream is full; 0: never.
  std::size_t capacity() const {
    std::size_t least = 0;
    for (std::size_t unit = 0; unit < shape_.units(); ++unit)
      keep_.with_list(unit, [&](const auto& list) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(list)>, keep_all>)
          least = least == 0 ? list.capacity : std::min(least, list.capacity);
      });
    return least;
  }

  // Rows before a boundary that some member of a list is told of.
  static std::size_t rows_told_to(const keep_all&) { return 0; }
  template <class... Members>
  static std::size_t rows_told_to(const keep<Members...>& list) {
    std::size_t most = 0;
    list.for_each([&](const auto& m) { most = std::max(most, rows_told(m)); });
    return most;
  }
  bool is_watched(std::uint64_t index) const { return next_boundary(index) - index <= last_rows_; }

  /// A list's part in a claim round.
  template <class List>
  struct claim_side {
    scored_keeper& keeper;
    const List& list;
    std::size_t first_unit;
    entry_memory memory(std::size_t m, std::size_t unit) const {
      return keeper.memory_.of(list, m, unit);
    }
    std::size_t budget(std::size_t m, std::size_t head) const {
      return keeper.budgets_.of(m, first_unit + head);
    }
    void set_report(std::size_t, std::size_t head, float value) const {
      keeper.budgets_.report(first_unit + head, value);
    }
  };

  /// A unit as it is when the next token's stream index is `at`.
  slots_view::record seen(std::size_t unit, std::uint64_t at) const {
    const std::size_t head = unit % shape_.kv_heads;
    return {.shape = &shape_,
            .layer = unit / shape_.kv_heads,
            .kv_head = head,
            .first_index = first_,
            .boundary = at,
            .cadence = cadence_,
            .order = map_.order(unit).first(entries(unit, at)),
            .index = map_.index(unit),
            .scratch = vector_.subspan(head * vector_floats(), 2 * shape_.head_dim)};
  }
  float* key_sums(std::size_t head) const {
    return vector_.data() + head * vector_floats() + 2 * shape_.head_dim;
  }

  /// Tells a list's members of the entry that is number `e` in stream order.
  template <class List>
  void describe(const List& list, std::size_t unit, const slots_view::record& record,
                const entry_access& access, std::size_t e, const arrival& came) {
    if constexpr (requires { list.members; }) {
      std::size_t m = 0;
      list.for_each([&](const auto& member) {
        if constexpr (describing<std::remove_cvref_t<decltype(member)>>) {
          const slots_view view(record, access, memory_.of(list, m, unit));
          member.describe(view, view.at(e), came);
        }
        ++m;
      });
    }
  }

  template <class Access>
  std::size_t decide_together(std::size_t layer, std::size_t first, std::size_t last,
                              std::uint64_t at, Access access, executor& threads) {
    const std::size_t first_unit = layer * shape_.kv_heads + first, n = last - first,
                      stride = most_slots();
    return keep_.with_list(first_unit, [&](const auto& list) -> std::size_t {
      deciding_head heads[by_layer ? max_deciding_heads : 1];
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t head = first + i, unit = first_unit + i;
        heads[i] = {
            .unit = unit,
            .seen = {.shape = &shape_,
                     .layer = layer,
                     .kv_head = head,
                     .first_index = first_,
                     .boundary = at,
                     .cadence = cadence_,
                     .order = map_.order(unit).first(entries(unit, at)),
                     .index = map_.index(unit),
                     .scratch = vector_.subspan(head * vector_floats(), 2 * shape_.head_dim)},
            .access = &access(head, vector_.data() + head * vector_floats() + 2 * shape_.head_dim),
            .taken = taken_.subspan(head * stride, stride),
            .score = score_.subspan(head * stride, stride),
            .ranking = ranking_.subspan(head * stride, stride)};
      }
      if constexpr (wants_log_probabilities)
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t e = map_.kept(first_unit + i); e < heads[i].entries(); ++e)
            describe(list, first_unit + i, heads[i].seen, *heads[i].access, e,
                     arrivals_[heads[i].seen.index[heads[i].seen.order[e]]]);
      claim_round(list, std::span<const deciding_head>(heads, n), stride,
                  claim_side<std::remove_cvref_t<decltype(list)>>{*this, list, first_unit},
                  threads);
      std::size_t dropped = 0;
      for (std::size_t i = 0; i < n; ++i) dropped += drop(list, heads[i]);
      return dropped;
    });
  }

  /// Frees the slots of what nobody claimed, once it has met the list's fate.
  template <class List>
  std::size_t drop(const List& list, const deciding_head& head) {
    const std::size_t n = head.entries();
    if constexpr (!keep_has_fate<List>) return map_.drop(head.unit, n, head.taken);
    // First those that go, then those that stay.
    const auto slots = slots_.subspan(head.seen.kv_head * most_slots(), n);
    std::size_t gone = 0;
    for (const bool stays : {false, true})
      for (std::size_t i = 0, at = gone; i < n; ++i)
        if ((head.taken[i] != 0) == stays) {
          slots[at++] = slot{head.seen.order[i]};
          if (!stays) gone = at;
        }
    if constexpr (keep_has_fate<List>) {
      std::size_t m = 0;
      list.for_each([&](const auto& member) {
        if constexpr (eviction_fate<std::remove_cvref_t<decltype(member)>>)
          if (gone > 0)
            member.meet(slots_view(head.seen, *head.access, memory_.of(list, m, head.unit)),
                        slots.first(gone), slots.subspan(gone));
        ++m;
      });
    }
    return map_.drop(head.unit, n, head.taken);
  }

  Keep keep_;
  kv_shape shape_;
  std::uint64_t first_, length_;
  std::size_t cadence_;
  layer_budgets<Keep> budgets_;
  std::size_t draft_tiles_, max_drafts_;
  bool may_take_back_;
  slot_map map_;
  member_memory<Keep> memory_;
  observations<keep_needs<Keep>> rows_seen_;
  arrivals arrivals_;
  std::size_t last_rows_ = 0;
  std::vector<pending_row> pending_;  // rows of the last step that were staged and stay

  arena_plan::block<std::uint64_t> boundary_block_, ranking_block_;
  arena_plan::block<tile_place> draft_block_;
  arena_plan::block<std::uint8_t> taken_block_;
  arena_plan::block<float> score_block_, vector_block_;
  arena_plan::block<slot> slots_block_;
  std::span<std::uint64_t> boundary_;  // [layer] where the layer last decided
  std::span<tile_place> draft_place_;  // [unit, draft]
  std::span<std::uint8_t> taken_;      // [kv_head, entry] scratch, and the next four
  std::span<float> score_;             // [kv_head, entry]
  std::span<std::uint64_t> ranking_;   // [kv_head, entry]
  std::span<slot> slots_;              // [kv_head, entry]
  std::span<float> vector_;            // [kv_head, 2 + 32, head_dim]
};

}  // namespace weir
