// Which token lies in which slot, for every (layer, KV head). A kept token stays in its
// slot; the tokens that follow take the lowest free slots in stream order, which are listed once
// per boundary.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <weir/cache/placement/tile_place.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

class slot_map {
 public:
  /// Every KV head may have up to `slots` slots. `ranked`: keep each lane's rank, for keys numbered
  /// as they are read; draft tiles have ranks too.
  slot_map(arena_plan& plan, std::size_t units, std::size_t slots, std::size_t draft_tiles,
           bool ranked)
      : slots_(slots),
        tiles_((slots + tile_lanes - 1) / tile_lanes),
        rank_stride_(ranked ? (tiles_ + draft_tiles) * tile_lanes : 0),
        live_block_(plan.reserve<std::uint32_t>(units, tiles_)),
        in_use_block_(plan.reserve<std::uint32_t>(units)),
        kept_block_(plan.reserve<std::uint32_t>(units)),
        order_block_(plan.reserve<std::uint32_t>(units, slots)),
        index_block_(plan.reserve<std::uint64_t>(units, tiles_, tile_lanes)),
        rank_block_(plan.reserve<std::uint32_t>(units, rank_stride_)) {}

  void bind(const arena& memory) {
    live_ = memory[live_block_];
    in_use_ = memory[in_use_block_];
    kept_ = memory[kept_block_];
    order_ = memory[order_block_];
    index_ = memory[index_block_];
    rank_ = memory[rank_block_];
  }
  void reset() {
    std::fill(live_.begin(), live_.end(), 0);
    std::fill(in_use_.begin(), in_use_.end(), 0);
    std::fill(kept_.begin(), kept_.end(), 0);
  }

  /// Most slots and tiles of a KV head.
  std::size_t slots() const { return slots_; }
  std::size_t tiles() const { return tiles_; }
  std::size_t lanes() const { return tiles_ * tile_lanes; }
  std::size_t rank_stride() const { return rank_stride_; }

  /// Kept slots in stream order, then the slots that the tokens since the boundary take.
  std::span<std::uint32_t> order(std::size_t head_index) const {
    return order_.subspan(head_index * slots_, slots_);
  }
  /// Entries that the last boundary left.
  std::uint32_t& kept(std::size_t head_index) const { return kept_[head_index]; }
  /// Tiles that hold what is in the order; nothing lies behind them. Where budgets change, far
  /// fewer than there may be.
  std::size_t tiles_in_use(std::size_t head_index) const { return in_use_[head_index]; }
  /// Stream index `[lane]` of what lies in each slot of the tiles in use.
  std::span<std::uint64_t> index(std::size_t head_index) const {
    return index_.subspan(head_index * lanes(), in_use_[head_index] * tile_lanes);
  }
  /// Lanes `[tile]` that hold a token.
  std::span<std::uint32_t> live(std::size_t head_index) const {
    return live_.subspan(head_index * tiles_, tiles_);
  }
  /// Rank of every lane `[physical tile, 32]`.
  std::span<std::uint32_t> ranks(std::size_t head_index) const {
    return rank_.subspan(head_index * rank_stride_, rank_stride_);
  }

  static tile_place place(std::uint32_t s) {
    return {s / static_cast<std::uint32_t>(tile_lanes), s % static_cast<std::uint32_t>(tile_lanes)};
  }
  void set_live(std::size_t head_index, std::uint32_t s, bool is) const {
    std::uint32_t& word = live_[head_index * tiles_ + s / tile_lanes];
    const std::uint32_t bit = 1u << s % tile_lanes;
    word = is ? word | bit : word & ~bit;
  }

  /// Of the first `n` entries of the order those stay whose `stays[i]` is not 0; the others' slots
  /// become free. Returns how many were dropped.
  std::size_t drop(std::size_t head_index, std::size_t n,
                   std::span<const std::uint8_t> stays) const {
    const auto slots = order(head_index);
    for (std::size_t i = kept_[head_index]; i < n; ++i)
      set_live(head_index, slots[i], true);  // it came since
    std::size_t left = 0;
    for (std::size_t i = 0; i < n;) {  // from one that goes to the next: they are few
      const void* const next = std::memchr(stays.data() + i, 0, n - i);
      const std::size_t end =
          next ? static_cast<std::size_t>(static_cast<const std::uint8_t*>(next) - stays.data())
               : n;
      std::memmove(&slots[left], &slots[i], (end - i) * sizeof slots[0]);
      left += end - i;
      if (end < n) set_live(head_index, slots[end], false);
      i = end + 1;
    }
    kept_[head_index] = static_cast<std::uint32_t>(left);
    return n - left;
  }

  /// Moves kept entries down until they, and the next `tokens`, fill no more tiles than they need:
  /// `move(from, to)` slots.
  template <class Move>
  void compact(std::size_t head_index, std::size_t tokens, Move move) const {
    const auto slots = order(head_index).first(kept_[head_index]);
    const auto end = static_cast<std::uint32_t>((slots.size() + tokens + tile_lanes - 1) /
                                                tile_lanes * tile_lanes);
    std::uint32_t tile = 0;
    for (std::uint32_t& s : slots) {
      if (s < end) continue;
      while (~live(head_index)[tile] == 0) ++tile;
      const auto to = tile * static_cast<std::uint32_t>(tile_lanes) +
                      static_cast<std::uint32_t>(std::countr_zero(~live(head_index)[tile]));
      move(s, to);
      index(head_index)[to] = index(head_index)[s];
      set_live(head_index, s, false);
      set_live(head_index, to, true);
      s = to;
    }
  }

  /// Appends the lowest free slots to the order, in rising order, for the next `tokens` tokens from
  /// stream index `at` on, and gives every slot in the order its rank. `empty(slot)` is called for
  /// each, and for the other free slots of the tiles in use. O(slots).
  template <class Empty>
  void list_free_slots(std::size_t head_index, std::uint64_t at, std::size_t tokens,
                       Empty empty) const {
    const auto slots = order(head_index);
    const auto indices = index_.subspan(head_index * lanes(), lanes());
    std::size_t n = kept_[head_index];
    const std::size_t wanted = n + tokens;
    std::size_t in_use = in_use_[head_index];
    while (in_use > 0 && live(head_index)[in_use - 1] == 0) --in_use;
    for (std::size_t t = 0; t < tiles_ && (n < wanted || t < in_use); ++t)
      for (std::uint32_t free = ~live(head_index)[t]; free != 0; free &= free - 1) {
        const auto s = static_cast<std::uint32_t>(t * tile_lanes) +
                       static_cast<std::uint32_t>(std::countr_zero(free));
        if (s >= slots_) break;
        empty(s);
        if (n == wanted) continue;
        indices[s] = at + (n - kept_[head_index]);
        slots[n++] = s;
        in_use = std::max(in_use, t + 1);
      }
    in_use_[head_index] = static_cast<std::uint32_t>(in_use);
    if (rank_stride_ == 0) return;
    for (std::size_t i = 0; i < n; ++i) ranks(head_index)[slots[i]] = static_cast<std::uint32_t>(i);
  }

 private:
  std::size_t slots_, tiles_, rank_stride_;
  arena_plan::block<std::uint32_t> live_block_, in_use_block_, kept_block_, order_block_;
  arena_plan::block<std::uint64_t> index_block_;
  arena_plan::block<std::uint32_t> rank_block_;
  std::span<std::uint32_t> live_;    // [head_index, tile]
  std::span<std::uint32_t> in_use_;  // [head_index] tiles
  std::span<std::uint32_t> kept_;    // [head_index]
  std::span<std::uint32_t> order_;   // [head_index, entry]
  std::span<std::uint64_t> index_;   // [head_index, lane]
  std::span<std::uint32_t> rank_;    // [head_index, physical tile, 32]
};

}  // namespace weir::inline WEIR_TARGET
