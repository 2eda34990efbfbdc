// Bodies of cache/attention/rotations.hpp.
#pragma once

#include <cstddef>
#include <span>

#include <weir/cache/attention/rotations.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE rotations::rotations(arena_plan& plan, const rope_shape& shape, std::size_t max_rows,
                                 std::size_t ranks, std::size_t sink_variants)
    : angles_(shape),
      ranks_(ranks),
      rows_block_(plan.reserve<float>(2, max_rows, shape.dims)),
      sinks_block_(plan.reserve<float>(2, shape.dims, sink_variants)),
      ranks_block_(plan.reserve<float>(2, angles_.pairs(), ranks)) {}

WEIR_INLINE void rotations::bind(const arena& memory, std::span<const position> sinks_seen_from) {
  rows_ = memory[rows_block_];
  sinks_ = memory[sinks_block_];
  by_rank_ = memory[ranks_block_];
  for (std::size_t i = 0; i < sinks_seen_from.size(); ++i) {
    float* const at = sinks_.data() + 2 * i * dims();
    angles_.factors(sinks_seen_from[i], at, at + dims());
  }
  for (std::size_t i = 0; i < angles_.pairs(); ++i)
    for (std::size_t r = 0; r < ranks_; ++r) {
      const auto [c, s] = angles_.cos_sin(i, position{r});
      by_rank_[i * ranks_ + r] = c;
      by_rank_[(angles_.pairs() + i) * ranks_ + r] = s;
    }
}

WEIR_INLINE rotations::factors rotations::rank(std::size_t rank, float* scratch) const {
  for (std::size_t i = 0; i < angles_.pairs(); ++i)
    angles_.set_factors(i, by_rank_[i * ranks_ + rank],
                        by_rank_[(angles_.pairs() + i) * ranks_ + rank], scratch, scratch + dims());
  return both(scratch);
}

}  // namespace weir::inline WEIR_TARGET
