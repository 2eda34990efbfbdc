// What the policies of a list remember: notes beside entries, state of heads, arrays to work in.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Where each policy's floats begin, counted in notes, floats and arrays.
template <class List>
struct member_offsets {
  struct amounts {
    std::size_t notes = 0, state = 0, scratch = 0;
    bool observers_work = false;  ///< in scratch memory
  };

  member_offsets() = default;
  member_offsets(const List& list, const kv_shape& shape) {
    if constexpr (count > 0) {
      std::size_t m = 0;
      list.for_each([&](const auto& policy) {
        at[m] = total;
        size[m] = {notes_of(policy, shape), state_of(policy, shape), scratch_of(policy, shape)};
        if (observing<std::remove_cvref_t<decltype(policy)>> && size[m].scratch > 0)
          total.observers_work = true;
        total.notes = checked_sum(total.notes, size[m].notes);
        total.state = checked_sum(total.state, size[m].state);
        total.scratch = checked_sum(total.scratch, size[m].scratch);
        ++m;
      });
    }
  }

  static constexpr std::size_t count = [] {
    if constexpr (requires(List l) { l.policies; })
      return std::tuple_size_v<decltype(List::policies)>;
    else
      return std::size_t{0};
  }();
  std::array<amounts, count> at, size;
  amounts total;
};

/// The memory of all policies of a list, in every KV head.
template <class Keep>
class member_memory {
  template <class K>
  struct offsets_of {
    member_offsets<K> a;
    offsets_of(const K& keep, const kv_shape& shape) : a(keep, shape) {}
    const member_offsets<K>& of(const K&) const { return a; }
    template <class Use>
    void for_each(Use use) const {
      use(a.total);
    }
  };
  template <class A, class B>
  struct offsets_of<per_head<A, B>> {
    member_offsets<A> a;
    member_offsets<B> b;
    offsets_of(const per_head<A, B>& keep, const kv_shape& shape)
        : a(keep.a, shape), b(keep.b, shape) {}
    const member_offsets<A>& of(const A&) const { return a; }
    const member_offsets<B>& of(const B&) const
      requires(!std::is_same_v<A, B>)
    {
      return b;
    }
    template <class Use>
    void for_each(Use use) const {
      use(a.total);
      use(b.total);
    }
  };

 public:
  /// `lanes`: what a note or an array runs over.
  member_memory(arena_plan& plan, const Keep& keep, const kv_shape& shape, std::size_t lanes)
      : offsets_(keep, shape), lanes_(lanes) {
    offsets_.for_each([&](const auto& total) {
      most_.notes = std::max(most_.notes, total.notes);
      most_.state = std::max(most_.state, total.state);
      most_.scratch = std::max(most_.scratch, total.scratch);
      if (total.observers_work) observing_places_ = shape.kv_heads;
    });
    notes_block_ = plan.reserve<float>(shape.total_kv_heads(), most_.notes, lanes);
    state_block_ = plan.reserve<float>(shape.total_kv_heads(), most_.state);
    scratch_block_ = plan.reserve<float>(shape.kv_heads + observing_places_, most_.scratch, lanes);
  }
  void bind(const arena& memory) {
    notes_ = memory[notes_block_];
    state_ = memory[state_block_];
    scratch_ = memory[scratch_block_];
  }
  void reset() {
    std::fill(notes_.begin(), notes_.end(), 0.0f);
    std::fill(state_.begin(), state_.end(), 0.0f);
  }

  /// What policy number `m` of `list` has in one KV head, with the arrays of KV head `place` to
  /// work in.
  template <class List>
  entry_memory of(const List& list, std::size_t m, std::size_t head_index,
                  std::size_t place) const {
    const auto& o = offsets_.of(list);
    return {notes_.subspan((head_index * most_.notes + o.at[m].notes) * lanes_,
                           o.size[m].notes * lanes_),
            lanes_, state_.subspan(head_index * most_.state + o.at[m].state, o.size[m].state),
            scratch_.subspan((place * most_.scratch + o.at[m].scratch) * lanes_,
                             o.size[m].scratch * lanes_)};
  }
  /// The place where what a KV head saw is observed, while other heads decide in theirs.
  std::size_t observing_place(std::size_t head) const { return observing_places_ + head; }
  /// No entry lies in a slot: nothing is known of it.
  void clear_notes(std::size_t head_index, std::size_t slot) const {
    for (std::size_t k = 0; k < most_.notes; ++k)
      notes_[(head_index * most_.notes + k) * lanes_ + slot] = 0;
  }
  /// Notes move with their entry.
  void move_notes(std::size_t head_index, std::size_t from, std::size_t to) const {
    for (std::size_t k = 0; k < most_.notes; ++k) {
      const auto note = notes_.subspan((head_index * most_.notes + k) * lanes_, lanes_);
      note[to] = note[from];
    }
  }

 private:
  offsets_of<Keep> offsets_;
  std::size_t lanes_, observing_places_ = 0;
  struct {
    std::size_t notes = 0, state = 0, scratch = 0;
  } most_;
  arena_plan::block<float> notes_block_, state_block_, scratch_block_;
  std::span<float> notes_;    // [head_index, note, lane]
  std::span<float> state_;    // [head_index, float]
  std::span<float> scratch_;  // [kv_head, array, lane], then those of heads that observe
};

}  // namespace weir::inline WEIR_TARGET
