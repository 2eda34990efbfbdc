// Attention by split: where threads leave what they have read for whoever merges it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/kv_tiles.hpp>

namespace weir::inline WEIR_TARGET {

/// Room for what threads leave to each other: of each block of rows that one token can have, the
/// states of its rows after each split.
class split_states {
 public:
  /// How far a block of rows has come.
  struct progress {
    std::uint32_t arrival;  ///< of its KV head's rows: kept by the head's first block
    std::uint32_t done;     ///< splits whose states lie here
    std::uint32_t merged;   ///< so many of them, the first ones, are one state: that of the last
  };

  split_states(arena_plan& plan, const kv_shape& shape, std::size_t max_splits)
      : max_blocks_((shape.group() + max_block_rows - 1) / max_block_rows),
        max_splits_(max_splits),
        padded_(padded_head_dim(shape.head_dim)),
        floats_block_(plan.reserve<float>(shape.kv_heads, max_blocks_, max_splits, max_block_rows,
                                          row_floats())),
        progress_block_(plan.reserve<progress>(shape.kv_heads, max_blocks_)) {}
  void bind(const arena& memory) {
    floats_ = memory[floats_block_];
    progress_ = memory[progress_block_];
  }

  /// Blocks of a KV head that there is room for: one token's.
  std::size_t max_blocks() const { return max_blocks_; }
  std::size_t padded() const { return padded_; }
  progress& of(std::size_t item) const { return progress_[item]; }

  /// Where the output of a block's row after a split is made.
  float* output(std::size_t item, std::size_t split, std::size_t r) const {
    return row(item, split, r) + cache_line / sizeof(float);
  }
  void keep(std::size_t item, std::size_t split, std::size_t r, const attention_state& s) const {
    float* const at = row(item, split, r);
    at[0] = s.m;
    at[1] = s.d;
    if (float* const o = output(item, split, r); o != s.o) std::copy_n(s.o, padded_, o);
  }
  attention_state kept(std::size_t item, std::size_t split, std::size_t r) const {
    const float* const at = row(item, split, r);
    return {at[0], at[1], output(item, split, r)};
  }

 private:
  std::size_t row_floats() const { return cache_line / sizeof(float) + padded_; }
  float* row(std::size_t item, std::size_t split, std::size_t r) const {
    return floats_.data() + ((item * max_splits_ + split) * max_block_rows + r) * row_floats();
  }

  std::size_t max_blocks_, max_splits_, padded_;
  arena_plan::block<float> floats_block_;
  arena_plan::block<progress> progress_block_;
  std::span<float> floats_;       // [kv_head, block, split, row, m d … o]
  std::span<progress> progress_;  // [kv_head, block]
};

}  // namespace weir::inline WEIR_TARGET
