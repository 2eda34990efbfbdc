// KV heads whose keys, values and attention are given by hand: for worked examples of eviction
// policies, a page of paper at a time. Runs the keeper that caches run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/retention/head_access.hpp>
#include <weir/cache/scored_keeper.hpp>
#include <weir/cache/store/kv_store.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::testing {

/// A stream under `Keep`, a list with at least one policy that decides at boundaries.
template <class Keep>
class policy_bench {
  using keeper_type = scored_keeper<Keep, false>;
  using store_type = kv_store<f32, layouts::paged>;

 public:
  /// Positions are original, codec f32.
  policy_bench(const Keep& keep, const kv_shape& shape, std::size_t cadence = 1)
      : shape_(shape),
        keeper_((validate(shape), validate(keep, shape), plan_), shape, keep,
                {.max_rows = 1, .cadence = cadence}),
        store_(plan_, shape, keeper_.tile_counts(), keeper_.max_tiles()),
        memory_(plan_) {
    keeper_.bind(memory_);
    keeper_.reset();
    store_.bind(memory_);
    store_.start();
    for (std::size_t head = 0; head < shape.kv_heads; ++head)
      access_.push_back(std::make_unique<head_access<store_type>>(store_, head));
    const row one[1] = {};
    rows_.assign(one, 0, 1);
  }

  /// One more token. If a boundary is due it runs first, in every layer. `keys` and `values`
  /// `[kv_head, head_dim]`, the same in every layer; empty: zeros.
  void append(std::span<const float> keys = {}, std::span<const float> values = {},
              const token_info& told = {}) {
    decide();
    const row one[1] = {{.kind = told.kind}};
    rows_.assign(one, 0, 1);
    const std::vector<float> nothing(shape_.head_dim);
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index) {
      const std::size_t layer = head_index / shape_.kv_heads, head = head_index % shape_.kv_heads;
      const tile_place at = keeper_.place(head_index, rows_, 0);
      store_.prepare_to_write(head_index, at.tile);
      const auto vector = [&](std::span<const float> all) {
        return all.empty() ? nothing.data() : &all[head * shape_.head_dim];
      };
      store_.write(layer, head, at, vector(keys), vector(values));
    }
    if constexpr (keeper_type::wants_log_probabilities)
      keeper_.tell_log_probability(keeper_.length(), told.log_probability);
    keeper_.append(rows_, {}, alone_);
  }
  /// Gives one entry another key `[head_dim]`. Policies that a boundary told of it do not notice.
  void set_key(std::size_t layer, std::size_t kv_head, std::uint64_t index,
               std::span<const float> key) {
    std::vector<float> value(shape_.head_dim);
    const tile_place at = place(index, layer, kv_head);
    store_.read_value(layer, kv_head, at, value.data());
    store_.write(layer, kv_head, at, key.data(), value.data());
  }

  /// What the newest token's row saw in one KV head, over the live entries in stream order (itself
  /// last): the mean over the group.
  void observe(std::size_t layer, std::size_t kv_head, std::span<const float> probabilities) {
    observed_row::record row;
    const auto seen = spread(layer, kv_head, probabilities, 1, 0.0f);
    row.probabilities = seen;
    keeper_.observe(layer * shape_.kv_heads + kv_head, keeper_.length() - 1, row);
  }
  /// `logits` `[query head of the group, entry]`.
  void observe_logits(std::size_t layer, std::size_t kv_head, std::span<const float> logits) {
    observed_row::record row;
    const auto seen =
        spread(layer, kv_head, logits, shape_.group(), -std::numeric_limits<float>::infinity());
    row.logits = seen;
    keeper_.observe(layer * shape_.kv_heads + kv_head, keeper_.length() - 1, row);
  }
  /// `queries` `[query head of the group, head_dim]`, unrotated.
  void observe_queries(std::size_t layer, std::size_t kv_head, std::span<const float> queries) {
    observed_row::record row;
    row.queries = queries;
    keeper_.observe(layer * shape_.kv_heads + kv_head, keeper_.length() - 1, row);
  }

  /// Runs the boundary behind the newest token, if the cadence says that there is one.
  void decide() {
    const std::uint64_t at = keeper_.length();
    for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
      if (!keeper_.boundary_due(at, layer)) continue;
      const auto access = [&](std::size_t head) -> auto& { return *access_[head]; };
      keeper_.decide(layer, at, rows_, access, alone_);
      keeper_.end_boundary(layer);
    }
  }

  /// Stream indices of a KV head's entries, rising.
  std::vector<std::uint64_t> kept(std::size_t layer = 0, std::size_t kv_head = 0) const {
    std::vector<std::uint64_t> all;
    keeper_.for_each_live(layer * shape_.kv_heads + kv_head,
                          [&](std::uint64_t index, tile_place) { all.push_back(index); });
    return all;
  }
  /// The k-th note of list policy `Policy` for the entry that came at `index`.
  template <std::size_t Policy>
  float note(std::uint64_t index, std::size_t k = 0, std::size_t layer = 0,
             std::size_t kv_head = 0) const {
    const tile_place at = place(index, layer, kv_head);
    return keeper_.memory(Policy, layer * shape_.kv_heads + kv_head)
        .note(k)[at.tile * tile_lanes + at.lane];
  }
  /// The state of list policy `Policy` in one KV head.
  template <std::size_t Policy>
  std::span<const float> state(std::size_t layer = 0, std::size_t kv_head = 0) const {
    return keeper_.memory(Policy, layer * shape_.kv_heads + kv_head).state;
  }
  /// Key and value of an entry as they lie now.
  std::vector<float> key(std::uint64_t index, std::size_t layer = 0,
                         std::size_t kv_head = 0) const {
    std::vector<float> x(shape_.head_dim);
    store_.read_key(layer, kv_head, place(index, layer, kv_head), x.data());
    return x;
  }
  std::vector<float> value(std::uint64_t index, std::size_t layer = 0,
                           std::size_t kv_head = 0) const {
    std::vector<float> x(shape_.head_dim);
    store_.read_value(layer, kv_head, place(index, layer, kv_head), x.data());
    return x;
  }
  /// Where an entry lies.
  tile_place place(std::uint64_t index, std::size_t layer = 0, std::size_t kv_head = 0) const {
    tile_place found;
    bool is_there = false;
    keeper_.for_each_live(layer * shape_.kv_heads + kv_head, [&](std::uint64_t i, tile_place at) {
      if (i == index) found = at, is_there = true;
    });
    error::require<error::bad_input>(is_there, "policy_bench: no entry ", index);
    return found;
  }

 private:
  /// From entries in stream order to slots.
  std::vector<float> spread(std::size_t layer, std::size_t kv_head, std::span<const float> by_entry,
                            std::size_t rows, float elsewhere) const {
    const std::size_t lanes = keeper_.tiles_in_use(layer * shape_.kv_heads + kv_head) * tile_lanes;
    std::vector<float> by_slot(rows * lanes, elsewhere);
    const std::size_t n = by_entry.size() / rows;
    std::size_t i = 0;
    keeper_.for_each_live(layer * shape_.kv_heads + kv_head, [&](std::uint64_t, tile_place at) {
      for (std::size_t r = 0; r < rows && i < n; ++r)
        by_slot[r * lanes + at.tile * tile_lanes + at.lane] = by_entry[r * n + i];
      ++i;
    });
    error::require<error::bad_input>(i == n, "policy_bench: ", n, " numbers for ", i, " entries");
    return by_slot;
  }

  kv_shape shape_;
  arena_plan plan_;
  keeper_type keeper_;
  store_type store_;
  arena memory_;
  std::vector<std::unique_ptr<head_access<store_type>>> access_;
  step_rows rows_{1};
  executor alone_;
};

}  // namespace weir::inline WEIR_TARGET::testing
