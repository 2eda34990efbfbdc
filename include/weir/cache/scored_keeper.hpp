// The keeper of policies that look at more than positions: it knows when policies are told what,
// and when they decide who stays. Nothing is moved, unless budgets change, and nothing is
// re-rotated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <weir/cache/attention/attend_job.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/placement/slot_stream.hpp>
#include <weir/cache/retention/member_lists.hpp>
#include <weir/cache/retention/observations.hpp>
#include <weir/cache/retention/recent_tokens.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>

namespace weir::inline WEIR_TARGET {

template <class Keep, bool Renumbers>
class scored_keeper : public slot_stream<Renumbers> {
  using stream = slot_stream<Renumbers>;
  using stream::boundary_from, stream::cadence_, stream::draft_tiles_, stream::entries,
      stream::first_, stream::go_on_from, stream::last_boundary, stream::length_, stream::map_,
      stream::max_drafts_, stream::next_boundary, stream::shape_;

 public:
  using stream::max_entries, stream::tiles_in_use;

  static constexpr bool has_boundaries = true;
  /// True if a head may decide while others do something else.
  static constexpr bool heads_decide_alone = !member_lists<Keep>::by_layer;
  static constexpr bool observes = keep_observes<Keep>;
  /// True if a step may not run over a boundary.
  static constexpr bool cuts_forward = keep_cuts_forward<Keep>;
  static constexpr bool wants_log_probabilities =
      includes(keep_needs<Keep>, signals::log_probability);

  scored_keeper(arena_plan& plan, const kv_shape& shape, const Keep& keep,
                const cache_options& options)
      : stream(plan, shape, member_lists<Keep>::slots_for(keep, shape, options), options),
        lists_(plan, keep, shape, options),
        may_take_back_(options.may_take_back),
        rows_seen_(plan, shape, options, map_.tiles()),
        recent_tokens_(plan, options.cadence) {
    using error::bad_config, error::require;
    require<bad_config>(max_entries() < std::size_t{1} << 31, "keep: budget + cadence of ",
                        max_entries(), " entries (expected below 2^31)");
    if (Renumbers && shape.trained_context > 0)
      require<bad_config>(max_entries() <= shape.trained_context, "keep: budget + cadence of ",
                          max_entries(),
                          " entries renumbered within the cache (expected at most the trained "
                          "context of ",
                          shape.trained_context, ")");
  }

  /// Finds its memory; `reset` follows, or the memory is a copy of another keeper's.
  void bind(const arena& memory) {
    stream::bind(memory);
    lists_.bind(memory);
    rows_seen_.bind(memory);
    recent_tokens_.bind(memory);
    pending_.reserve(1 + max_drafts_);
  }
  /// The memory has become a copy of that of another keeper of the same settings: so does the rest.
  /// No allocation.
  void copy_from(const scored_keeper& other) {
    length_ = other.length_;
    rows_seen_.copy_from(other.rows_seen_);
    recent_tokens_.copy_from(other.recent_tokens_);
    pending_.assign(other.pending_.begin(), other.pending_.end());
  }

  // ---- sizes -----------------------------------------------------------------------------------

  /// Most tiles of each KV head, draft tiles included.
  std::vector<std::size_t> tile_counts() const {
    std::vector<std::size_t> n(shape_.total_kv_heads());
    for (std::size_t head_index = 0; head_index < n.size(); ++head_index)
      n[head_index] = home_tiles(head_index) + draft_tiles_;
    return n;
  }
  /// Most tiles that all KV heads together hold at once.
  std::size_t max_tiles() const {
    return lists_.budgets().max_tiles(cadence_) + shape_.total_kv_heads() * draft_tiles_;
  }
  /// Tiles of a KV head that hold tokens of the stream, at most.
  std::size_t home_tiles(std::size_t head_index) const {
    return stream::tiles_of(lists_.budgets().most(head_index) + cadence_);
  }

  // ---- the stream ------------------------------------------------------------------------------

  std::uint64_t room() const {
    const std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
    return (lists_.capacity() == 0 ? end : first_ + lists_.capacity()) - length_;
  }

  /// The step's final rows and the provisional ones of `path` join the stream.
  void append(const step_rows& rows, std::span<const std::size_t> path, executor& threads) {
    const std::size_t finals = rows.finals(), tokens = finals + path.size();
    if (tokens == 0) return;
    if (finals == 0 && !pending_.empty())  // else it was done layer by layer
      threads.for_range(shape_.kv_heads, shape_.total_kv_heads() * pending_.size() * map_.lanes(),
                        [&](std::size_t first, std::size_t last) {
                          for (std::size_t head = first; head < last; ++head)
                            for (std::size_t head_index = head;
                                 head_index < shape_.total_kv_heads();
                                 head_index += shape_.kv_heads)
                              observe_pending(head_index);
                        });
    for (std::size_t i = 0; i < tokens; ++i)
      recent_tokens_.set_kind(length_ + i, rows.kind(i < finals ? i : path[i - finals]));
    if constexpr (observes) {
      pending_.clear();
      rows_seen_.turn_over();
      if (finals > 0 && may_take_back_) pending_.push_back({length_ + finals - 1, 0});
      for (std::size_t i = 0; i < path.size(); ++i)
        pending_.push_back({length_ + finals + i, 1 + path[i] - finals});
    }
    stream::grow(tokens);
  }
  void take_back() {
    stream::shrink();
    if (!pending_.empty()) pending_.pop_back();
    recent_tokens_.forget(length_);
  }
  void reset() {
    stream::reset();
    lists_.reset();
    recent_tokens_.reset(first_);
    pending_.clear();
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      go_on(head_index, first_);
  }
  void tell_log_probability(std::uint64_t index, float value) {
    const std::uint64_t next = last_boundary(shape_.total_kv_heads() - 1) + cadence_;
    error::require<error::bad_call>(index <= next, "tell_log_probability: token ", index,
                                    " behind the boundary at ", next,
                                    " (expected once that has been decided)");
    recent_tokens_.tell(index, value);
  }

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

  // ---- observation -----------------------------------------------------------------------------

  /// Where rows [first, last) of the step hand out what they see; nowhere if nobody asks.
  raw_attention_memory raw_attention(const step_rows& rows, std::size_t first,
                                     std::size_t last) const {
    for (std::size_t r = first; r < last; ++r)
      if (is_watched(length_ + rows.offset(r))) return rows_seen_.raw_attention();
    return {};
  }
  /// Before a KV head's rows are attended: what comes of them will be wanted near.
  void prefetch_notes(std::size_t head_index) const {
    lists_.prefetch_notes(head_index, tiles_in_use(head_index) * tile_lanes, false);
  }
  /// Rows of the last step that were staged and have stayed, before anything else happens to the
  /// KV head. Not while the last of them may still be taken back.
  void observe_pending(std::size_t head_index) {
    for (const pending_row& p : pending_)
      if (is_watched(p.index))
        observe(head_index, p.index,
                rows_seen_.staged(head_index, tiles_in_use(head_index), p.staged));
  }
  /// What rows [first, last) of the step, just attended, saw in a KV head, which they handed out at
  /// `place`; `q` `[row, q_head, head_dim]` is theirs, unrotated.
  void observe_rows(std::size_t head_index, std::size_t place, const step_rows& rows,
                    std::size_t first, std::size_t last, const float* q) {
    for (std::size_t r = first; r < last; ++r) {
      const std::uint64_t index = length_ + rows.offset(r);
      if (!is_watched(index)) continue;
      const float* const query =
          q + ((r - first) * shape_.q_heads + head_index % shape_.kv_heads * shape_.group()) *
                  shape_.head_dim;
      if (r + (may_take_back_ ? 1 : 0) < rows.finals())
        observe(head_index, index,
                rows_seen_.read(place, tiles_in_use(head_index), r - first, last - first, query));
      else
        rows_seen_.stage(head_index, place, tiles_in_use(head_index), r + 1 - rows.finals(),
                         r - first, last - first, query);
    }
  }
  /// Tells the policies of a KV head's list what the row at `index`, the newest of them, saw there.
  void observe(std::size_t head_index, std::uint64_t index, observed_row::record row) {
    row.first_index = first_;
    row.index = index;
    row.boundary = next_boundary(index);
    lists_.observe(head_index, row, map_.index(head_index));
  }
  /// What policy number `m` of a KV head's list remembers.
  entry_memory memory(std::size_t m, std::size_t head_index) const {
    return lists_.memory(m, head_index);
  }

  // ---- boundaries ------------------------------------------------------------------------------

  /// True if the layer has to decide before the token at stream index `at` is stored.
  bool boundary_due(std::uint64_t at, std::size_t layer = 0) const {
    return at > first_ && (at - first_) % cadence_ == 0 &&
           last_boundary(layer * shape_.kv_heads) < at;
  }
  /// True if the next step would decide without having been told what it needs.
  bool lacks_log_probabilities() const {
    return wants_log_probabilities && boundary_due(length_) &&
           recent_tokens_.told_until() < length_;
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
  std::size_t decide_head(std::size_t head_index, std::size_t place, std::uint64_t at,
                          const step_rows& rows, Access access) {
    return with_steps(at, rows, access, [&](auto enter, auto drop) {
      return lists_.decide_head(head_index, place, enter, drop);
    });
  }
  /// A layer has decided, and attended the rows that came next.
  void end_boundary(std::size_t layer) {
    if (layer + 1 == shape_.layers) lists_.allocate_layers();
  }

  // ---- one step --------------------------------------------------------------------------------

  /// Lays out the layer's provisional rows, once its boundaries have run.
  void prepare(std::size_t layer, const step_rows& rows) {
    if (rows.drafts() == 0) return;
    for (std::size_t head_index = layer * shape_.kv_heads;
         head_index < (layer + 1) * shape_.kv_heads; ++head_index)
      stream::lay_out_drafts(head_index, rows, home_tiles(head_index));
  }
  /// Splits that rows read right behind the boundary at stream index `at`, at most: known before.
  std::size_t splits_behind_boundary(std::size_t head_index, std::uint64_t at) const {
    const auto most = std::min<std::uint64_t>(lists_.budgets().of_all(head_index), at - first_);
    return stream::splits_of(stream::tiles_of(static_cast<std::size_t>(most) + cadence_));
  }

 private:
  struct pending_row {
    std::uint64_t index;
    std::size_t staged;
  };

  /// See slot_stream::go_on_from.
  void go_on(std::size_t head_index, std::uint64_t at) {
    go_on_from(head_index, at, [&](std::uint32_t s) { lists_.clear_notes(head_index, s); });
  }
  /// `use(enter, drop)`: how heads that decide at stream index `at` begin and end.
  template <class Access, class Use>
  std::size_t with_steps(std::uint64_t at, const step_rows& rows, Access access, Use use) {
    const auto came = [&](std::uint64_t index) {
      return index < length_ ? recent_tokens_[index]
                             : token_info{.kind = rows.kind(index - length_)};
    };
    const auto enter = [&](deciding_head& head) {
      const std::size_t tiles = tiles_in_use(head.head_index);
      head.seen = seen(head.head_index, head.place, at);
      head.access =
          &access(head.head_index % shape_.kv_heads)
               .enter(head.head_index / shape_.kv_heads, tiles, lists_.key_sums(head.place));
      if constexpr (keep_has_on_append<Keep>) {  // all that came since the last boundary
        lists_.prefetch_notes(head.head_index, tiles * tile_lanes, true);
        for (std::size_t e = map_.kept(head.head_index); e < head.entries(); ++e)
          lists_.on_append(head, e, came(head.seen.index[head.seen.order[e]]));
      }
    };
    const auto drop = [&](std::size_t head_index, std::span<const std::uint8_t> stays) {
      const std::size_t dropped = map_.drop(head_index, stays.size(), stays);
      settle(head_index, at, access(head_index % shape_.kv_heads));
      return dropped;
    };
    return use(enter, drop);
  }
  /// What follows a KV head's decision.
  template <class Access>
  void settle(std::size_t head_index, std::uint64_t at, Access& access) {
    const std::size_t tiles = tiles_in_use(head_index);
    if constexpr (keep_has_changing_budgets<Keep>)
      map_.compact(head_index, cadence_, [&](std::uint32_t from, std::uint32_t to) {
        access.move(slot_map::place(from), slot_map::place(to));
        lists_.move_notes(head_index, from, to);
      });
    for (std::size_t t = 0; t < tiles; ++t)
      if (map_.live(head_index)[t] == 0) access.give_back(t);
    go_on(head_index, at);
  }
  bool is_watched(std::uint64_t index) const {
    return next_boundary(index) - index <= lists_.last_rows();
  }

  /// A KV head as it is when the next token's stream index is `at`, seen from a head's place.
  slots_view::record seen(std::size_t head_index, std::size_t place, std::uint64_t at) const {
    return {.shape = &shape_,
            .layer = head_index / shape_.kv_heads,
            .kv_head = head_index % shape_.kv_heads,
            .first_index = first_,
            .boundary = at,
            .cadence = cadence_,
            .order = map_.order(head_index).first(entries(head_index, at)),
            .index = map_.index(head_index),
            .scratch = lists_.view_scratch(place)};
  }

  member_lists<Keep> lists_;
  bool may_take_back_;
  observations<keep_needs<Keep>> rows_seen_;
  recent_tokens recent_tokens_;
  std::vector<pending_row> pending_;  // rows of the last step that were staged and stay
};

}  // namespace weir::inline WEIR_TARGET
