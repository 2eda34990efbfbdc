// How many entries each policy may select in each (layer, KV head) and how that changes
// where budgets do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/retention/member_memory.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

template <class Keep>
class layer_budgets {
 public:
  layer_budgets(arena_plan& plan, const Keep& keep, const kv_shape& shape)
      : shape_(shape), sum_(shape.total_kv_heads()), most_(shape.total_kv_heads()) {
    using error::bad_config, error::require;
    for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index)
      keep.with_list(head_index, [&](const auto& list) {
        const std::size_t layer = head_index / shape.kv_heads, head = head_index % shape.kv_heads;
        sum_[head_index] = budget_in(list, shape, layer, head);
        most_[head_index] = max_in(list, shape, head_index);
        policies_ = std::max(policies_, count<decltype(list)>);
        require<bad_config>(sum_[head_index] >= 2, "keep: a budget of ", sum_[head_index],
                            " entries in layer ", layer, ", KV head ", head,
                            " (expected at least 2)");
      });
    budget_block_ = plan.reserve<std::uint32_t>(shape.total_kv_heads(), policies_);
    statistic_block_ =
        plan.reserve<float>(keep_allocates_layers<Keep> ? shape.total_kv_heads() : 0);
    share_block_ = plan.reserve<std::size_t>(keep_allocates_layers<Keep> ? shape.layers : 0);
  }
  void bind(const arena& memory) {
    budget_ = memory[budget_block_];
    statistic_ = memory[statistic_block_];
    share_ = memory[share_block_];
  }
  void reset(const Keep& keep) {
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      keep.with_list(head_index, [&]<class List>(const List& list) {
        if constexpr (std::is_same_v<List, keep_all>)
          budget_[head_index * policies_] = static_cast<std::uint32_t>(list.capacity);
        for_each_policy(list, [&](const auto& m, std::size_t i) {
          budget_[head_index * policies_ + i] = static_cast<std::uint32_t>(
              budget_of(m, shape_, head_index / shape_.kv_heads, head_index % shape_.kv_heads));
        });
      });
  }

  /// Of policy number `m` in a KV head, now, and of all policies; keep_all counts as one.
  std::size_t of(std::size_t m, std::size_t head_index) const {
    return budget_[head_index * policies_ + m];
  }
  std::size_t of_all(std::size_t head_index) const {
    std::size_t sum = 0;
    for (std::size_t m = 0; m < policies_; ++m) sum += of(m, head_index);
    return sum;
  }
  /// Entries that a boundary may leave in a KV head, and in any KV head of whoever runs this
  /// policy.
  std::size_t most(std::size_t head_index) const { return most_[head_index]; }
  static std::size_t most(const Keep& keep, const kv_shape& shape) {
    std::size_t most = 0;
    for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index)
      keep.with_list(head_index, [&](const auto& list) {
        most = std::max(most, max_in(list, shape, head_index));
      });
    return most;
  }
  /// Tiles that all KV heads hold at once, at most. A KV head's share is rounded up, and where
  /// budgets change an entry may move to a tile that is just being opened. Layers whose budgets
  /// change follow one another, so that some may have grown while others have yet to shrink.
  std::size_t max_tiles(std::size_t cadence) const {
    std::size_t tiles = 0, entries = 0;
    for (std::size_t head_index = 0; head_index < most_.size(); ++head_index) {
      tiles += (most_[head_index] + cadence + tile_lanes - 1) / tile_lanes;
      entries += sum_[head_index] + (keep_allocates_layers<Keep> ? 2 : 1) * cadence;
    }
    if constexpr (!keep_has_changing_budgets<Keep>) return tiles;
    return std::min(tiles, entries / tile_lanes + 2 * most_.size());
  }

  /// What a KV head has to say at this boundary to what layers get at the next.
  void set_statistic(std::size_t head_index, float value) const { statistic_[head_index] = value; }
  /// Every layer has reported.
  void allocate(const Keep& keep) {
    if constexpr (keep_allocates_layers<Keep>)
      for_each_policy(keep, [&]<class P>(const P& m, std::size_t i) {
        if constexpr (allocates_layers<P>) {
          std::fill(share_.begin(), share_.end(), m.budget);
          m.allocate_layers(shape_, statistic_, share_);
          const std::size_t most = max_layer_budget(m, shape_);
          for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
            budget_[head_index * policies_ + i] =
                static_cast<std::uint32_t>(std::min(share_[head_index / shape_.kv_heads], most));
        }
      });
  }

 private:
  template <class List>
  static constexpr std::size_t count = member_offsets<std::remove_cvref_t<List>>::count;

  template <class List>
  static std::size_t max_in(const List& list, const kv_shape& shape, std::size_t head_index) {
    const std::size_t layer = head_index / shape.kv_heads, head = head_index % shape.kv_heads;
    std::size_t most = budget_in(list, shape, layer, head);
    for_each_policy(list, [&](const auto& m, std::size_t) {
      const std::size_t now = budget_of(m, shape, layer, head);
      most += max_budget(m, shape, now) - now;
    });
    return most;
  }
  template <class Use>
  static void for_each_policy(const keep_all&, Use) {}
  template <class... Policies, class Use>
  static void for_each_policy(const keep<Policies...>& list, Use use) {
    std::size_t i = 0;
    list.for_each([&](const auto& m) {
      if constexpr (has_budget<std::remove_cvref_t<decltype(m)>>) use(m, i);
      ++i;
    });
  }

  kv_shape shape_;
  std::size_t policies_ = 0;
  std::vector<std::size_t> sum_, most_;  // [head_index]
  arena_plan::block<std::uint32_t> budget_block_;
  arena_plan::block<float> statistic_block_;
  arena_plan::block<std::size_t> share_block_;
  std::span<std::uint32_t> budget_;  // [head_index, policy]
  std::span<float> statistic_;       // [head_index]
  std::span<std::size_t> share_;     // [layer]
};

}  // namespace weir::inline WEIR_TARGET
