// The policies of a list at work: what they remember, what they are told, and what they decide at
// boundaries. Knows entries by stream order and slot; where slots are and when boundaries come is
// the keeper's business.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <weir/cache/cache_options.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/retention/layer_budgets.hpp>
#include <weir/cache/retention/member_memory.hpp>
#include <weir/cache/retention/selection_round.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/simd/prefetch.hpp>

namespace weir::inline WEIR_TARGET {

template <class Keep>
class member_lists {
 public:
  /// True if all heads of a layer are at hand when it is decided.
  static constexpr bool by_layer =
      keep_decides_by_layer<Keep> || keep_allocates_heads<Keep> || keep_decides_once<Keep>;

  member_lists(arena_plan& plan, const Keep& keep, const kv_shape& shape,
               const cache_options& options)
      : keep_(keep),
        shape_(shape),
        budgets_(plan, keep, shape),
        slots_(slots_for(keep, shape, options)),
        memory_(plan, keep, shape, round_up(slots_, tile_lanes)) {
    error::require<error::bad_config>(shape.kv_heads <= max_deciding_heads,
                                      "keep: ", shape.kv_heads, " KV heads (expected at most ",
                                      max_deciding_heads, ")");
    for_each_list([&]<class List>(const List& list) {
      if constexpr (std::is_same_v<List, keep_all>)
        capacity_ = capacity_ == 0 ? list.capacity : std::min(capacity_, list.capacity);
      else
        list.for_each([&](const auto& m) { last_rows_ = std::max(last_rows_, rows_told(m)); });
    });
    taken_block_ = plan.reserve<std::uint8_t>(shape.kv_heads, slots_);
    score_block_ = plan.reserve<float>(shape.kv_heads, slots_);
    ranking_block_ = plan.reserve<std::uint32_t>(shape.kv_heads, slots_);
    evicted_block_ = plan.reserve<slot>(keep_has_evict_handler<Keep> ? shape.kv_heads : 0, slots_);
    vector_block_ = plan.reserve<float>(shape.kv_heads, vector_floats());
  }
  void bind(const arena& memory) {
    budgets_.bind(memory);
    memory_.bind(memory);
    taken_ = memory[taken_block_];
    score_ = memory[score_block_];
    ranking_ = memory[ranking_block_];
    evicted_ = memory[evicted_block_];
    vector_ = memory[vector_block_];
  }
  void reset() {
    memory_.reset();
    budgets_.reset(keep_);
  }

  /// Slots that a KV head may need, at most: budgets and the tokens up to the next boundary.
  static std::size_t slots_for(const Keep& keep, const kv_shape& shape,
                               const cache_options& options) {
    return layer_budgets<Keep>::most(keep, shape) + options.cadence;
  }
  const layer_budgets<Keep>& budgets() const { return budgets_; }
  /// Rows before each boundary that some policy is told of.
  std::size_t last_rows() const { return last_rows_; }
  /// Tokens after which the stream is full; 0: never.
  std::size_t capacity() const { return capacity_; }

  /// What policy number `m` of a KV head's list remembers.
  entry_memory memory(std::size_t m, std::size_t head_index) const {
    return keep_.with_list(head_index, [&](const auto& list) {
      return memory_.of(list, m, head_index, head_index % shape_.kv_heads);
    });
  }
  void clear_notes(std::size_t head_index, std::size_t slot) const {
    memory_.clear_notes(head_index, slot);
  }
  void move_notes(std::size_t head_index, std::size_t from, std::size_t to) const {
    memory_.move_notes(head_index, from, to);
  }

  /// `[2, head_dim]` for a view of a KV head to work in, and `[head_dim, 16]` for its sums: those
  /// of head `place`.
  std::span<float> view_scratch(std::size_t place) const {
    return vector_.subspan(place * vector_floats(), 2 * shape_.head_dim);
  }
  float* key_sums(std::size_t place) const {
    return vector_.data() + place * vector_floats() + 2 * shape_.head_dim;
  }

  /// Asks for what a KV head's policies remember of its first `slots` slots, before they write to
  /// it: at a boundary all, else those that observe.
  void prefetch_notes(std::size_t head_index, std::size_t slots, bool at_boundary) const {
    for_each_policy(head_index, head_index % shape_.kv_heads,
                    [&]<class P>(const P& m, const entry_memory& memory) {
                      if (!at_boundary && !observing<P>) return;
                      for (std::size_t k = 0; k < notes_of(m, shape_); ++k)
                        for (std::size_t at = 0; at < slots * sizeof(float); at += cache_line)
                          simd::prefetch(memory.note(k).data(), at);
                    });
  }
  /// Tells a KV head's policies what a row saw there. `indices` `[lane]`.
  void observe(std::size_t head_index, const observed_row::record& row,
               std::span<const std::uint64_t> indices) const {
    for_each_policy(
        head_index, memory_.observing_place(head_index % shape_.kv_heads),
        [&]<class P>(const P& policy, const entry_memory& memory) {
          if constexpr (observing<P>)
            if (row.boundary - row.index <= rows_told(policy))
              policy.observe(observed_row(shape_, head_index / shape_.kv_heads,
                                          head_index % shape_.kv_heads, row, indices, memory));
        });
  }
  /// Introduces the entry that is number `e` in stream order.
  void on_append(const deciding_head& head, std::size_t e, const token_info& came) const {
    for_each_policy(head.head_index, head.place,
                    [&]<class P>(const P& policy, const entry_memory& memory) {
                      if constexpr (has_on_append<P>) {
                        const slots_view view(head.seen, *head.access, memory);
                        policy.on_append(view, view.at(e), came);
                      }
                    });
  }

  /// Lets a head decide, which does not look at others, in the working memory of head `place`.
  /// `enter(head)` completes a deciding_head by `seen` and `access`; `drop(head_index, taken)`
  /// drops what was not taken and says how many that were.
  template <class Enter, class Drop>
  std::size_t decide_head(std::size_t head_index, std::size_t place, Enter enter, Drop drop) {
    static_assert(!by_layer);
    executor alone;
    return decide_together(head_index, 1, place, enter, drop, alone);
  }
  /// Lets the heads of a layer decide.
  template <class Enter, class Drop>
  std::size_t decide(std::size_t layer, Enter enter, Drop drop, executor& threads) {
    const std::size_t heads = shape_.kv_heads, first = layer * heads;
    if constexpr (by_layer) {
      return decide_together(first, heads, 0, enter, drop, threads);
    } else {
      std::atomic<std::size_t> dropped{0};
      threads.for_range(heads, heads * slots_ * shape_.head_dim, [&](std::size_t a, std::size_t b) {
        for (std::size_t head_index = first + a; head_index < first + b; ++head_index)
          dropped += decide_head(head_index, a, enter, drop);
      });
      return dropped;
    }
  }
  /// All layers have decided: budgets of layers may change.
  void allocate_layers() { budgets_.allocate(keep_); }

 private:
  std::size_t vector_floats() const { return (2 + key_sum_lanes) * shape_.head_dim; }

  template <class Use>
  void for_each_list(Use use) const {
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      keep_.with_list(head_index, [&](const auto& list) { use(list); });
  }
  /// `use(policy, memory)` for the policies of a KV head's list.
  template <class Use>
  void for_each_policy(std::size_t head_index, std::size_t place, Use use) const {
    keep_.with_list(head_index, [&]<class List>(const List& list) {
      if constexpr (!std::is_same_v<List, keep_all>) {
        std::size_t m = 0;
        list.for_each(
            [&](const auto& policy) { use(policy, memory_.of(list, m++, head_index, place)); });
      }
    });
  }

  /// A list's part in a selection round of KV heads from `first` on.
  template <class List>
  struct round_side {
    const member_lists& lists;
    const List& list;
    std::size_t first;
    entry_memory memory(std::size_t m, const deciding_head& head) const {
      return lists.memory_.of(list, m, head.head_index, head.place);
    }
    std::size_t budget(std::size_t m, std::size_t head) const {
      return lists.budgets_.of(m, first + head);
    }
    void set_layer_statistic(std::size_t, std::size_t head, float value) const {
      lists.budgets_.set_statistic(first + head, value);
    }
  };

  /// Units from `first` on, `n` of them, in the working memory of the heads from `place` on.
  template <class Enter, class Drop>
  std::size_t decide_together(std::size_t first, std::size_t n, std::size_t place, Enter enter,
                              Drop drop, executor& threads) const {
    deciding_head heads[by_layer ? max_deciding_heads : 1];
    threads.for_range(n, n * slots_ * shape_.head_dim, [&](std::size_t a, std::size_t b) {
      for (std::size_t i = a; i < b; ++i) {
        const std::size_t at = (place + i) * slots_;
        heads[i] = {.head_index = first + i,
                    .place = place + i,
                    .taken = taken_.subspan(at, slots_),
                    .score = score_.subspan(at, slots_),
                    .ranking = ranking_.subspan(at, slots_)};
        enter(heads[i]);
      }
    });
    keep_.with_list(first, [&]<class List>(const List& list) {
      selection_round(list, std::span<const deciding_head>(heads, n), slots_,
                      round_side<List>{*this, list, first}, threads);
    });
    std::atomic<std::size_t> dropped{0};
    constexpr std::size_t drop_cost = 8;  // of an entry, in multiply-adds
    const std::size_t cost =
        n * slots_ * (keep_has_evict_handler<Keep> ? shape_.head_dim : drop_cost);
    threads.for_range(n, cost, [&](std::size_t a, std::size_t b) {
      for (std::size_t i = a; i < b; ++i) {
        if constexpr (keep_has_evict_handler<Keep>) handle_evicted(heads[i]);
        dropped += drop(heads[i].head_index, heads[i].taken.first(heads[i].entries()));
      }
    });
    return dropped;
  }

  /// What nobody selected goes to the list's evict handler.
  void handle_evicted(const deciding_head& head) const {
    const std::size_t n = head.entries();
    const auto slots = evicted_.subspan(head.place * slots_, n);
    // First those that go, then those that stay.
    const auto gone = static_cast<std::size_t>(std::count(&head.taken[0], &head.taken[0] + n, 0));
    if (gone == 0) return;
    for (std::size_t i = 0, goes = 0, stays = gone; i < n; ++i)
      slots[head.taken[i] != 0 ? stays++ : goes++] = slot{head.seen.order[i]};
    for_each_policy(head.head_index, head.place,
                    [&]<class P>(const P& policy, const entry_memory& memory) {
                      if constexpr (evict_handler<P>)
                        policy.on_evict(slots_view(head.seen, *head.access, memory),
                                        slots.first(gone), slots.subspan(gone));
                    });
  }

  Keep keep_;
  kv_shape shape_;
  layer_budgets<Keep> budgets_;
  std::size_t slots_;
  member_memory<Keep> memory_;
  std::size_t last_rows_ = 0, capacity_ = 0;
  arena_plan::block<std::uint8_t> taken_block_;
  arena_plan::block<float> score_block_, vector_block_;
  arena_plan::block<std::uint32_t> ranking_block_;
  arena_plan::block<slot> evicted_block_;
  std::span<std::uint8_t> taken_;     // [kv_head, entry] scratch, as all of these
  std::span<float> score_;            // [kv_head, entry]
  std::span<std::uint32_t> ranking_;  // [kv_head, entry]
  std::span<slot> evicted_;           // [kv_head, entry]
  std::span<float> vector_;           // [kv_head, 2 + 16, head_dim]
};

}  // namespace weir::inline WEIR_TARGET
