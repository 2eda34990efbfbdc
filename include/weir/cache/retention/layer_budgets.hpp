// How many entries each member may claim in each (layer, KV head) — a unit — and how that changes
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
      : shape_(shape), sum_(shape.units()), most_(shape.units()) {
    using error::bad_config, error::require;
    for (std::size_t unit = 0; unit < shape.units(); ++unit)
      keep.with_list(unit, [&](const auto& list) {
        const std::size_t layer = unit / shape.kv_heads, head = unit % shape.kv_heads;
        sum_[unit] = budget_in(list, shape, layer, head);
        most_[unit] = most_in(list, shape, unit);
        members_ = std::max(members_, count<decltype(list)>);
        require<bad_config>(sum_[unit] >= 2, "keep: a budget of ", sum_[unit], " entries in layer ",
                            layer, ", KV head ", head, " (expected at least 2)");
      });
    budget_block_ = plan.reserve<std::uint32_t>(shape.units(), members_);
    report_block_ = plan.reserve<float>(keep_apportions_layers<Keep> ? shape.units() : 0);
    share_block_ = plan.reserve<std::size_t>(keep_apportions_layers<Keep> ? shape.layers : 0);
  }
  void bind(const arena& memory) {
    budget_ = memory[budget_block_];
    report_ = memory[report_block_];
    share_ = memory[share_block_];
  }
  void reset(const Keep& keep) {
    for (std::size_t unit = 0; unit < shape_.units(); ++unit)
      keep.with_list(unit, [&]<class List>(const List& list) {
        if constexpr (std::is_same_v<List, keep_all>)
          budget_[unit * members_] = static_cast<std::uint32_t>(list.capacity);
        for_each_member(list, [&](const auto& m, std::size_t i) {
          budget_[unit * members_ + i] = static_cast<std::uint32_t>(
              budget_of(m, shape_, unit / shape_.kv_heads, unit % shape_.kv_heads));
        });
      });
  }

  /// Of member number `m` in a unit, now, and of all members; keep_all counts as one.
  std::size_t of(std::size_t m, std::size_t unit) const { return budget_[unit * members_ + m]; }
  std::size_t of_all(std::size_t unit) const {
    std::size_t sum = 0;
    for (std::size_t m = 0; m < members_; ++m) sum += of(m, unit);
    return sum;
  }
  /// Entries that a boundary may leave in a unit, and in any unit of whoever runs this policy.
  std::size_t most(std::size_t unit) const { return most_[unit]; }
  static std::size_t most(const Keep& keep, const kv_shape& shape) {
    std::size_t most = 0;
    for (std::size_t unit = 0; unit < shape.units(); ++unit)
      keep.with_list(unit,
                     [&](const auto& list) { most = std::max(most, most_in(list, shape, unit)); });
    return most;
  }
  /// Tiles that all units hold at once, at most. A unit's share is rounded up, and where budgets
  /// change an entry may move to a tile that is just being opened. Layers whose budgets change
  /// follow one another, so that some may have grown while others have yet to shrink.
  std::size_t most_tiles(std::size_t cadence) const {
    std::size_t tiles = 0, entries = 0;
    for (std::size_t unit = 0; unit < most_.size(); ++unit) {
      tiles += (most_[unit] + cadence + tile_lanes - 1) / tile_lanes;
      entries += sum_[unit] + (keep_apportions_layers<Keep> ? 2 : 1) * cadence;
    }
    if constexpr (!keep_has_changing_budgets<Keep>) return tiles;
    return std::min(tiles, entries / tile_lanes + 2 * most_.size());
  }

  /// What a unit has to say at this boundary to what layers get at the next.
  void report(std::size_t unit, float value) const { report_[unit] = value; }
  /// Every layer has reported.
  void apportion(const Keep& keep) {
    if constexpr (keep_apportions_layers<Keep>)
      for_each_member(keep, [&]<class M>(const M& m, std::size_t i) {
        if constexpr (apportions_layers<M>) {
          std::fill(share_.begin(), share_.end(), m.budget);
          m.apportion_layers(shape_, report_, share_);
          const std::size_t most = most_of_layer(m, shape_);
          for (std::size_t unit = 0; unit < shape_.units(); ++unit)
            budget_[unit * members_ + i] =
                static_cast<std::uint32_t>(std::min(share_[unit / shape_.kv_heads], most));
        }
      });
  }

 private:
  template <class List>
  static constexpr std::size_t count = member_offsets<std::remove_cvref_t<List>>::count;

  template <class List>
  static std::size_t most_in(const List& list, const kv_shape& shape, std::size_t unit) {
    const std::size_t layer = unit / shape.kv_heads, head = unit % shape.kv_heads;
    std::size_t most = budget_in(list, shape, layer, head);
    for_each_member(list, [&](const auto& m, std::size_t) {
      const std::size_t now = budget_of(m, shape, layer, head);
      most += most_budget(m, shape, now) - now;
    });
    return most;
  }
  template <class Use>
  static void for_each_member(const keep_all&, Use) {}
  template <class... Members, class Use>
  static void for_each_member(const keep<Members...>& list, Use use) {
    std::size_t i = 0;
    list.for_each([&](const auto& m) {
      if constexpr (has_budget<std::remove_cvref_t<decltype(m)>>) use(m, i);
      ++i;
    });
  }

  kv_shape shape_;
  std::size_t members_ = 0;
  std::vector<std::size_t> sum_, most_;  // [unit]
  arena_plan::block<std::uint32_t> budget_block_;
  arena_plan::block<float> report_block_;
  arena_plan::block<std::size_t> share_block_;
  std::span<std::uint32_t> budget_;  // [unit, member]
  std::span<float> report_;          // [unit]
  std::span<std::size_t> share_;     // [layer]
};

}  // namespace weir::inline WEIR_TARGET
