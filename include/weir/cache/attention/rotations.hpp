// The rotations a cache needs, made once for all layers: of each row of the step, of the query that
// sees the sinks, and of each rank where keys are numbered as they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET {

class rotations {
 public:
  /// `[dims]` each, as the rotate kernels want them.
  struct factors {
    const float* cos;
    const float* sin;
  };

  /// `ranks`: 0 if keys are stored rotated.
  /// `sink_variants`: positions from which sinks are seen.
  rotations(arena_plan& plan, const rope_shape& shape, std::size_t max_rows, std::size_t ranks,
            std::size_t sink_variants);

  /// Fills in what never changes. O(dims · ranks).
  void bind(const arena& memory, std::span<const position> sinks_seen_from);

  /// Row r of the step stands at `p`.
  void set_row(std::size_t r, position p) {
    float* const at = rows_.data() + 2 * r * dims();
    angles_.factors(p, at, at + dims());
  }
  factors row(std::size_t r) const { return both(rows_.data() + 2 * r * dims()); }
  /// The query's rotation towards the sinks, from afar; from one of the positions given.
  factors sinks(std::size_t i) const { return both(sinks_.data() + 2 * i * dims()); }
  /// A rank's rotation, put together in `scratch` `[2 · dims]`.
  factors rank(std::size_t rank, float* scratch) const;
  /// What the attention kernel turns unrotated keys by.
  rotate_on_read on_read() const {
    return {by_rank_.data(), by_rank_.data() + angles_.pairs() * ranks_, ranks_, angles_.pairs(),
            angles_.shape().pairing == rope_pairing::interleaved};
  }

 private:
  std::size_t dims() const { return angles_.shape().dims; }
  factors both(const float* at) const { return {at, at + dims()}; }

  rope_angles angles_;
  std::size_t ranks_;
  arena_plan::block<float> rows_block_, sinks_block_, ranks_block_;
  std::span<float> rows_;     // [row, cos and sin, dims]
  std::span<float> sinks_;    // [position, cos and sin, dims]
  std::span<float> by_rank_;  // [cos and sin, pair, rank]
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/cache/attention/rotations.inl.hpp>
#endif
