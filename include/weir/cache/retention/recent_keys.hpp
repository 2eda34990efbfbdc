// The newest keys of each KV head once more, each in one piece. A key's elements lie apart in its
// tile, a cache line each: to look at the keys of a few tokens there reads as much as a token's
// attention does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/placement/tile_place.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_tiles.hpp>

namespace weir::inline WEIR_TARGET {

/// Keys as a store of numbers of type T holds them, by KV head and place. With room for none it
/// does nothing.
template <class T>
class recent_keys {
 public:
  recent_keys(arena_plan& plan, std::size_t units, std::size_t count, std::size_t head_dim)
      : count_(count),
        head_dim_(head_dim),
        place_block_(plan.reserve<std::uint32_t>(units, count)),
        next_block_(plan.reserve<std::uint32_t>(count > 0 ? units : 0)),
        key_block_(plan.reserve<T>(units, count, head_dim)) {}
  void bind(const arena& memory) {
    place_ = memory[place_block_];
    next_ = memory[next_block_];
    key_ = memory[key_block_];
  }

  /// Where the key `[head_dim]` goes that is now at a place; the oldest one is forgotten. Null:
  /// there is no room.
  T* add(std::size_t head_index, tile_place at) {
    if (count_ == 0) return nullptr;
    forget(head_index, at);
    const std::size_t i = next_[head_index];
    next_[head_index] = static_cast<std::uint32_t>((i + 1) % count_);
    places(head_index)[i] = code(at);
    return key(head_index, i);
  }
  /// What is at a place is another key now.
  void forget(std::size_t head_index, tile_place at) {
    std::ranges::replace(places(head_index), code(at), none);
  }
  /// The key `[head_dim]` at a place, or null where it was forgotten. O(count).
  const T* find(std::size_t head_index, tile_place at) const {
    const auto all = places(head_index);
    const auto found = std::ranges::find(all, code(at));
    return found != all.end() ? key(head_index, static_cast<std::size_t>(found - all.begin()))
                              : nullptr;
  }

 private:
  static constexpr std::uint32_t none = 0;
  static std::uint32_t code(tile_place at) {
    return static_cast<std::uint32_t>(at.tile * tile_lanes + at.lane + 1);
  }
  std::span<std::uint32_t> places(std::size_t head_index) const {
    return place_.subspan(head_index * count_, count_);
  }
  T* key(std::size_t head_index, std::size_t i) const {
    return key_.data() + (head_index * count_ + i) * head_dim_;
  }

  std::size_t count_, head_dim_;
  arena_plan::block<std::uint32_t> place_block_, next_block_;
  arena_plan::block<T> key_block_;
  std::span<std::uint32_t> place_;  // [head_index, count] code, or none
  std::span<std::uint32_t> next_;   // [head_index] the oldest
  std::span<T> key_;                // [head_index, count, head_dim]
};

}  // namespace weir::inline WEIR_TARGET
