// Where keys and values lie, and the attention over them. No policy in its type: it is told which
// tiles to visit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/codec/encode.hpp>
#include <weir/cache/kv_shape.hpp>
#include <weir/cache/tile_place.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/cpu/attention.hpp>

namespace weir {

/// One layer's attention over rows whose keys and values are in the store.
struct attend_job {
  std::size_t layer = 0;
  std::size_t rows = 0;
  const float* query = nullptr;    ///< [variant, row, q_head, head_dim], rotated and scaled
  std::size_t variant_stride = 0;  ///< floats between variants
  float* out = nullptr;            ///< [row, q_head, head_dim]
  std::size_t most_entries = 0;    ///< a row reads no more: what the work is guessed from

  /// Splits that rows [first, last) of a KV head read, and the visits of the k-th of them.
  function_ref<std::size_t(std::size_t head, std::size_t first, std::size_t last)> splits;
  function_ref<void(std::size_t head, std::size_t first, std::size_t last, std::size_t k,
                    visit_list&)>
      plan;

  const rotate_on_read* rotation = nullptr;  ///< for keys stored unrotated
  const std::uint32_t* ranks = nullptr;      ///< [kv_head, physical tile, 32], with `rotation`
};

template <kv_codec Codec, class A = simd::native>
class kv_store {
  using tiles = kv_tiles<Codec>;
  using storage = typename tiles::storage;

 public:
  kv_store(arena_plan& plan, const kv_shape& shape, std::size_t tile_count, std::size_t most_splits)
      : shape_(shape),
        tiles_(tile_count),
        most_splits_(most_splits),
        padded_(padded_head_dim(shape.head_dim)) {
    const std::size_t all = shape.units() * tiles_;
    keys_block_ = plan.reserve<storage>(all * tiles::key_size(shape.head_dim));
    values_block_ = plan.reserve<storage>(all * tiles::value_size(shape.head_dim));
    partials_block_ = plan.reserve<float>(shape.kv_heads * shared_blocks() * most_splits *
                                          max_block_rows * partial_floats());
  }
  void bind(const arena& memory) {
    keys_ = memory[keys_block_];
    values_ = memory[values_block_];
    partials_ = memory[partials_block_];
  }

  /// Encodes one token's key and value `[head_dim]` for one KV head.
  void write(std::size_t layer, std::size_t head, tile_place at, const float* key,
             const float* value) {
    encode_key<Codec>(key_tile(layer, head, at.tile), at.lane, key, shape_.head_dim, shape_.rope);
    encode_value<Codec>(value_tile(layer, head, at.tile), at.lane, value, shape_.head_dim);
  }
  void copy(std::size_t layer, std::size_t head, tile_place from, tile_place to) {
    const std::size_t dim = shape_.head_dim;
    tiles::copy_key(key_tile(layer, head, from.tile), from.lane, key_tile(layer, head, to.tile),
                    to.lane, dim);
    tiles::copy_value(value_tile(layer, head, from.tile), from.lane,
                      value_tile(layer, head, to.tile), to.lane, dim);
  }
  /// Decodes a key `[head_dim]` as it lies.
  void read_key(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    const storage* const tile = key_tile(layer, head, at.tile);
    for (std::size_t i = 0; i < shape_.head_dim; ++i)
      out[i] = tiles::key(tile, shape_.head_dim, at.lane, i);
  }
  /// Decodes a value `[head_dim]`.
  void read_value(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    const storage* const tile = value_tile(layer, head, at.tile);
    for (std::size_t i = 0; i < shape_.head_dim; ++i)
      out[i] = tiles::value(tile, shape_.head_dim, at.lane, i);
  }

  /// Attends. Work is shared out by (KV head × row block), and by split too where those are few;
  /// splits merge in rising order either way, so the bits are the same.
  void attend(const attend_job& job, executor& threads) {
    const std::size_t group = shape_.group();
    const std::size_t blocks = (job.rows * group + max_block_rows - 1) / max_block_rows;
    const std::size_t items = shape_.kv_heads * blocks;
    const std::size_t cost =
        job.rows * shape_.q_heads * shape_.head_dim * std::max<std::size_t>(job.most_entries, 1);
    if (blocks <= shared_blocks() && items < 2 * threads.width() && most_splits_ > 1)
      return attend_by_split(job, blocks, cost, threads);
    threads.for_range(items, cost, [&](std::size_t first, std::size_t last) {
      for (std::size_t item = first; item < last; ++item)
        attend_block(job, item / blocks, item % blocks);
    });
  }

 private:
  /// Row blocks of a KV head up to which splits may be shared out: one token, or a block's worth.
  std::size_t shared_blocks() const {
    return (shape_.group() + max_block_rows - 1) / max_block_rows;
  }
  /// One row's partial state: m, d and o, padded to whole cache lines.
  std::size_t partial_floats() const { return padded_ + 16; }

  /// The packed rows of a block and what the kernel needs to know of them.
  struct packed {
    attention_block<Codec> block;
    std::size_t first_row, last_row;  // step rows
    std::size_t rows;                 // packed rows
    std::size_t begin;                // first packed row of the KV head
  };

  packed pack(const attend_job& job, std::size_t head, std::size_t number) const {
    const std::size_t group = shape_.group();
    packed p;
    p.begin = number * max_block_rows;
    p.rows = std::min(max_block_rows, job.rows * group - p.begin);
    p.first_row = p.begin / group;
    p.last_row = (p.begin + p.rows - 1) / group + 1;
    p.block.keys = key_tile(job.layer, head, 0);
    p.block.values = value_tile(job.layer, head, 0);
    p.block.head_dim = shape_.head_dim;
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t row = (p.begin + r) / group, q_head = head * group + (p.begin + r) % group;
      p.block.step_row[r] = static_cast<std::uint8_t>(row - p.first_row);
      for (std::size_t v = 0; v < query_variants; ++v)
        p.block.query[v][r] =
            job.query + v * job.variant_stride + (row * shape_.q_heads + q_head) * shape_.head_dim;
    }
    if (job.rotation != nullptr) {
      p.block.rotation = job.rotation;
      p.block.rank = job.ranks + head * tiles_ * tile_lanes;
    }
    return p;
  }

  void finish_row(const attend_job& job, std::size_t head, std::size_t packed_row,
                  const attention_state& state) const {
    const std::size_t group = shape_.group();
    const std::size_t row = packed_row / group, q_head = head * group + packed_row % group;
    finish(state, job.out + (row * shape_.q_heads + q_head) * shape_.head_dim, shape_.head_dim);
  }

  void attend_block(const attend_job& job, std::size_t head, std::size_t number) const {
    const packed p = pack(job, head, number);
    alignas(cache_line) float total_o[max_block_rows * max_head_dim];
    alignas(cache_line) float split_o[max_block_rows * max_head_dim];
    attention_state total[max_block_rows], part[max_block_rows];
    visit_list plan;
    for (std::size_t r = 0; r < p.rows; ++r) total[r].o = total_o + r * padded_;
    std::fill_n(total_o, p.rows * padded_, 0.0f);
    const std::size_t splits = job.splits(head, p.first_row, p.last_row);
    for (std::size_t k = 0; k < splits; ++k) {
      job.plan(head, p.first_row, p.last_row, k, plan);
      if (plan.visits().empty()) continue;
      for (std::size_t r = 0; r < p.rows; ++r) part[r] = {.o = split_o + r * padded_};
      std::fill_n(split_o, p.rows * padded_, 0.0f);
      cpu::fold<A>(p.block, plan, part, p.rows);
      for (std::size_t r = 0; r < p.rows; ++r) merge<A>(total[r], part[r], padded_);
    }
    for (std::size_t r = 0; r < p.rows; ++r) finish_row(job, head, p.begin + r, total[r]);
  }

  void attend_by_split(const attend_job& job, std::size_t blocks, std::size_t cost,
                       executor& threads) {
    const std::size_t items = shape_.kv_heads * blocks, stride = partial_floats();
    const auto partial = [&](std::size_t item, std::size_t k, std::size_t r) {
      return partials_.data() + ((item * most_splits_ + k) * max_block_rows + r) * stride;
    };
    threads.for_range(items * most_splits_, cost, [&](std::size_t first, std::size_t last) {
      visit_list plan;
      for (std::size_t i = first; i < last; ++i) {
        const std::size_t item = i / most_splits_, k = i % most_splits_, head = item / blocks;
        const packed p = pack(job, head, item % blocks);
        attention_state part[max_block_rows];
        for (std::size_t r = 0; r < p.rows; ++r) part[r] = {.o = partial(item, k, r) + 16};
        if (k < job.splits(head, p.first_row, p.last_row)) {
          job.plan(head, p.first_row, p.last_row, k, plan);
          for (std::size_t r = 0; r < p.rows; ++r) std::fill_n(part[r].o, padded_, 0.0f);
          cpu::fold<A>(p.block, plan, part, p.rows);
        }
        for (std::size_t r = 0; r < p.rows; ++r) {
          partial(item, k, r)[0] = part[r].m;
          partial(item, k, r)[1] = part[r].d;
        }
      }
    });
    threads.for_range(items, items * most_splits_ * max_block_rows * padded_,
                      [&](std::size_t first, std::size_t last) {
                        for (std::size_t item = first; item < last; ++item) {
                          const packed p = pack(job, item / blocks, item % blocks);
                          for (std::size_t r = 0; r < p.rows; ++r) {
                            attention_state total{.o = partial(item, 0, r) + 16};
                            const auto state = [&](std::size_t k) {
                              float* at = partial(item, k, r);
                              return attention_state{at[0], at[1], at + 16};
                            };
                            total = state(0);
                            if (total.empty()) std::fill_n(total.o, padded_, 0.0f);
                            for (std::size_t k = 1; k < most_splits_; ++k)
                              merge<A>(total, state(k), padded_);
                            finish_row(job, item / blocks, p.begin + r, total);
                          }
                        }
                      });
  }

  storage* key_tile(std::size_t layer, std::size_t head, std::size_t tile) const {
    return keys_.data() +
           ((layer * shape_.kv_heads + head) * tiles_ + tile) * tiles::key_size(shape_.head_dim);
  }
  storage* value_tile(std::size_t layer, std::size_t head, std::size_t tile) const {
    return values_.data() +
           ((layer * shape_.kv_heads + head) * tiles_ + tile) * tiles::value_size(shape_.head_dim);
  }

  kv_shape shape_;
  std::size_t tiles_, most_splits_, padded_;
  arena_plan::block<storage> keys_block_, values_block_;
  arena_plan::block<float> partials_block_;
  std::span<storage> keys_;    // [layer, kv_head, physical tile, key_size]
  std::span<storage> values_;  // [layer, kv_head, physical tile, value_size]
  std::span<float> partials_;  // [kv_head, block, split, row, 16 + padded]
};

}  // namespace weir
