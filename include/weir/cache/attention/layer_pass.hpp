// One layer of a step: rows are stored and attended, segment by segment, and at a boundary the
// layer's KV heads decide first what stays.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <weir/cache/attention/attend_job.hpp>
#include <weir/cache/attention/attention_pass.hpp>
#include <weir/cache/attention/rotations.hpp>
#include <weir/cache/placement/tile_place.hpp>
#include <weir/cache/retention/head_access.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/row_kernels.hpp>

namespace weir::inline WEIR_TARGET {

/// What came to a layer, of the step's rows from `first` on.
struct layer_input {
  std::size_t first;
  const float* q;      ///< [row, q_head, head_dim], unrotated
  const float* k;      ///< [row, kv_head, head_dim], unrotated
  const float* v;      ///< [row, kv_head, head_dim]
  float* out;          ///< [row, q_head, head_dim]
  std::uint32_t* cut;  ///< [row of the step] grows by what was cut of a row's keys and values
};

/// `Parts` is a cache_parts.
template <class Parts>
class layer_pass {
  using keeper_type = typename Parts::keeper_type;
  using store_type = typename Parts::store_type;
  using arch = typename Parts::arch;

 public:
  /// How policies reach what KV heads store, by head.
  using heads = std::span<const std::unique_ptr<head_access<store_type>>>;

  layer_pass(Parts& parts, heads access, const step_rows& rows, executor& threads,
             std::size_t layer, const layer_input& in)
      : parts_(parts),
        shape_(parts.store.shape()),
        access_(access),
        rows_(rows),
        threads_(threads),
        layer_(layer),
        in_(in) {}

  /// Stores and attends rows in.first … end − 1. O(what they read), plus what policies cost.
  void run(std::size_t end) {
    const std::size_t finals = rows_.finals();
    for (std::size_t first = in_.first; first < finals;) {
      const std::size_t last = keeper().segment_end(first, finals);
      duties before{.observe = first == 0};
      if constexpr (keeper_type::has_boundaries)
        if (const std::uint64_t at = keeper().length() + first; keeper().boundary_due(at, layer_))
          before.decide_at = at;
      attend_behind(before, first, last);
      first = last;
    }
    if (finals < end) {
      keeper().prepare(layer_, rows_);
      attend(std::max(in_.first, finals), end, {});
    }
  }

  /// The decision that is due before the next token, without one that comes.
  void decide() {
    const std::uint64_t at = keeper().length();
    observe_pending();
    if constexpr (heads_decide_on_arrival)
      for (std::size_t head = 0; head < shape_.kv_heads; ++head)
        keeper().decide_head(head_index(head), head, at, rows_, access());
    else
      keeper().decide(layer_, at, rows_, access(), threads_);
    keeper().end_boundary(layer_);
  }

  /// Boundaries that came, and entries that were dropped there.
  std::size_t boundaries() const { return boundaries_; }
  std::size_t dropped() const { return dropped_; }

 private:
  /// True if a head decides when its rows come, behind which it attends them: its keys are near
  /// then, and one thread decides while another attends, which asks less of memory.
  static constexpr bool heads_decide_on_arrival = [] {
    if constexpr (keeper_type::has_boundaries) return keeper_type::heads_decide_alone;
    return false;
  }();
  /// What a KV head does before its rows are stored.
  struct duties {
    bool observe = false;                                   ///< what was staged
    std::optional<std::uint64_t> decide_at = std::nullopt;  ///< the boundary's stream index
  };

  keeper_type& keeper() { return parts_.keeper; }
  store_type& store() { return parts_.store; }
  std::size_t head_index(std::size_t head) const { return layer_ * shape_.kv_heads + head; }

  /// Has the layer's KV heads observe what was staged.
  void observe_pending() {
    threads_.for_range(shape_.kv_heads, shape_.q_heads * keeper().max_entries(),
                       [&](std::size_t first, std::size_t last) {
                         for (std::size_t head = first; head < last; ++head)
                           keeper().observe_pending(head_index(head));
                       });
  }

  auto access() {
    return [this](std::size_t head) -> auto& { return *access_[head]; };
  }
  /// Has the layer's KV heads decide, if they do so together, and attends rows [first, last).
  void attend_behind(duties before, std::size_t first, std::size_t last) {
    const std::optional<std::uint64_t> boundary = before.decide_at;
    if constexpr (keeper_type::has_boundaries && !heads_decide_on_arrival)
      if (boundary) {
        if (before.observe) observe_pending();
        dropped_ += keeper().decide(layer_, *boundary, rows_, access(), threads_);
        before = {};
      }
    attend(first, last, before);
    if constexpr (keeper_type::has_boundaries)
      if (boundary) {
        keeper().end_boundary(layer_);
        ++boundaries_;
      }
  }

  /// Stores row r's key and value for one KV head, and writes the rotated and scaled queries that
  /// share it to `query` `[q_head, head_dim]`, the sinks' variant `variant_stride` behind.
  void store_row(std::size_t head, std::size_t r, float* query, std::size_t variant_stride) {
    const std::size_t dim = shape_.head_dim, group = shape_.group();
    const std::size_t kv_head = (r - in_.first) * shape_.kv_heads + head;
    const tile_place place = keeper().place(head_index(head), rows_, r);
    const float scale = shape_.score_scale() * store().key_scale(layer_, head);
    const float* key = in_.k + kv_head * dim;
    float rotated[max_head_dim], scratch[2 * max_head_dim];
    rotations::factors turn;
    const row_kernels& rows = kernels<row_kernels, arch>();
    if constexpr (keeper_type::stores_rotated_keys) {
      turn = parts_.turns.row(r);
      rows.rotate(shape_.rope, key, rotated, dim, turn.cos, turn.sin, 1.0f);
      key = rotated;
    } else {  // the rank among the entries this head kept
      turn = parts_.turns.rank(keeper().query_position(head_index(head), rows_, r), scratch);
    }
    store().prepare_to_write(head_index(head), place.tile);
    if (const std::size_t cut = store().write(layer_, head, place, key, in_.v + kv_head * dim))
      std::atomic_ref(in_.cut[r])
          .fetch_add(static_cast<std::uint32_t>(cut), std::memory_order_relaxed);
    const bool two_variants = keeper().uses_sink_variant(head_index(head), rows_);
    for (std::size_t q_head = head * group; q_head < (head + 1) * group; ++q_head) {
      const float* from = in_.q + ((r - in_.first) * shape_.q_heads + q_head) * dim;
      float* to = query + q_head * dim;
      rows.rotate(shape_.rope, from, to, dim, turn.cos, turn.sin, scale);
      if (!two_variants) continue;
      const rotations::factors sinks =
          parts_.turns.sinks(keeper().sink_query_number(head_index(head)));
      rows.rotate(shape_.rope, from, to + variant_stride, dim, sinks.cos, sinks.sin, scale);
    }
  }

  /// Stores rows [first, last) and attends them; `before`: what every head does first.
  void attend(std::size_t first, std::size_t last, const duties& before) {
    const std::size_t q_row = shape_.q_heads * shape_.head_dim;
    const std::size_t variant_stride = parts_.segment_rows * q_row;
    float* const query = parts_.query.data();
    const auto arrive = [&](std::size_t head, std::size_t place) {
      if constexpr (keeper_type::has_boundaries) {
        if (before.observe) keeper().observe_pending(head_index(head));
        if constexpr (heads_decide_on_arrival)
          if (before.decide_at)
            dropped_ +=
                keeper().decide_head(head_index(head), place, *before.decide_at, rows_, access());
        if constexpr (keeper_type::observes) keeper().prefetch_notes(head_index(head));
      }
      for (std::size_t r = first; r < last; ++r)
        store_row(head, r, query + (r - first) * q_row, variant_stride);
    };
    const auto splits = [&](std::size_t head, std::size_t a, std::size_t b) {
      if constexpr (heads_decide_on_arrival)  // asked for before and behind it
        if (before.decide_at)
          return keeper().splits_behind_boundary(head_index(head), *before.decide_at);
      return keeper().splits(head_index(head), rows_, first + a, first + b);
    };
    const auto plan = [&](std::size_t head, std::size_t a, std::size_t b, std::size_t split,
                          visit_list& list) {
      keeper().plan(head_index(head), rows_, first + a, first + b, split, list);
    };
    attend_job job{.layer = layer_,
                   .rows = last - first,
                   .query = query,
                   .variant_stride = variant_stride,
                   .out = in_.out + (first - in_.first) * q_row,
                   .max_entries = static_cast<std::size_t>(std::min<std::uint64_t>(
                       keeper().max_entries(), keeper().length() - keeper().first_index() + last)),
                   .arrive = arrive,
                   .splits = splits,
                   .plan = plan};
    rotate_on_read rotation;
    if constexpr (!keeper_type::stores_rotated_keys) {
      rotation = parts_.turns.on_read();
      job.rotation = &rotation;
      job.ranks = keeper().ranks(head_index(0)).data();
      job.rank_stride = keeper().rank_stride();
    }
    const auto pass = [&] {
      attention_pass<store_type, arch>(store(), job, parts_.states).run(threads_);
    };
    if constexpr (keeper_type::has_boundaries) {
      if constexpr (keeper_type::observes) {
        job.raw = keeper().raw_attention(rows_, first, last);
        const auto observe = [&](std::size_t head, std::size_t place) {
          keeper().observe_rows(head_index(head), place, rows_, first, last,
                                in_.q + (first - in_.first) * q_row);
        };
        const function_ref<void(std::size_t, std::size_t)> finished = observe;
        job.finished = &finished;
        return pass();
      }
    }
    pass();
  }

  Parts& parts_;
  const kv_shape& shape_;
  heads access_;
  const step_rows& rows_;
  executor& threads_;
  std::size_t layer_;
  layer_input in_;
  std::size_t boundaries_ = 0;
  std::atomic<std::size_t> dropped_{0};
};

}  // namespace weir::inline WEIR_TARGET
