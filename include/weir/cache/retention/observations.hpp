// What rows saw, from the attention kernel to the policies that asked. A row is observed once it is
// certain to stay: final rows behind their attention, but for the last of a step where that may be
// taken back; that one and the provisional rows are staged, and observed when the stream goes on.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/attention/attend_job.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/observation_kernels.hpp>

namespace weir::inline WEIR_TARGET {

template <signals Needs>
class observations {
  static constexpr bool mean = includes(Needs, signals::attention_probabilities);
  static constexpr bool largest = includes(Needs, signals::largest_probabilities);
  static constexpr bool probabilities = mean || largest;
  static constexpr std::size_t kinds = (mean ? 1 : 0) + (largest ? 1 : 0);
  static constexpr bool logits = includes(Needs, signals::attention_logits);
  static constexpr bool queries = includes(Needs, signals::queries);

 public:
  /// Final rows attended at a time: what they hand out is held until they are observed.
  static constexpr std::size_t segment_rows = 16;

  /// `tiles`: most of a KV head.
  observations(arena_plan& plan, const kv_shape& shape, const cache_options& options,
               std::size_t tiles)
      : shape_(shape),
        tiles_(tiles),
        tile_stride_(round_up(tiles, split_tiles)),
        first_staged_(options.may_take_back ? 0 : 1),
        staged_rows_(1 + options.max_draft_rows - first_staged_) {
    const std::size_t rows = std::max(std::min(segment_rows, options.max_rows),
                                      options.max_draft_rows),
                      packed = rows * shape.q_heads;
    const bool any = probabilities || logits;
    weight_block_ = plan.reserve<float>(probabilities ? packed : 0, tile_stride_, tile_lanes);
    score_block_ = plan.reserve<float>(logits ? packed : 0, tile_stride_, tile_lanes);
    largest_block_ = plan.reserve<float>(any ? packed : 0, tile_stride_);
    total_block_ = plan.reserve<float>(any ? packed : 0, 2u);
    row_block_ = plan.reserve<float>(shape.kv_heads, kinds, tiles_, tile_lanes);
    staged_block_ = plan.reserve<float>(2, shape.total_kv_heads(), staged_rows_, row_floats());
  }
  void bind(const arena& memory) {
    weight_ = memory[weight_block_];
    score_ = memory[score_block_];
    largest_ = memory[largest_block_];
    total_ = memory[total_block_];
    row_ = memory[row_block_];
    staged_ = memory[staged_block_];
  }

  /// What does not lie in the memory becomes another's.
  void copy_from(const observations& other) { side_ = other.side_; }

  /// Where the kernel leaves what the rows of a job hand out.
  raw_attention_memory raw_attention() const {
    if constexpr (!probabilities && !logits) return {};
    return {probabilities ? weight_.data() : nullptr, logits ? score_.data() : nullptr,
            largest_.data(), total_.data(), tile_stride_};
  }

  /// Works out what row `r` of a job of `rows` handed out at `place`, of a KV head with so many
  /// tiles in use; it stays there until the place is used again. `q` `[query head of the group,
  /// head_dim]` are the row's queries, unrotated.
  observed_row::record read(std::size_t place, std::size_t tiles, std::size_t r, std::size_t rows,
                            const float* q) const {
    return read_to(row_.subspan(place * kinds * tiles_ * tile_lanes).data(), place, tiles, r, rows,
                   q);
  }
  /// The same, to be kept: `staged` is 0 for a step's last final row, 1 + its number for a
  /// provisional one.
  void stage(std::size_t head_index, std::size_t place, std::size_t tiles, std::size_t staged,
             std::size_t r, std::size_t rows, const float* q) const {
    float* to = staged_row(side_, head_index, staged).data();
    const observed_row::record row = read_to(to, place, tiles, r, rows, q);
    const std::size_t lanes = tiles * tile_lanes, head_floats = tile_stride_ * tile_lanes;
    to += row.probabilities.size() + row.largest.size();
    if (logits)
      for (std::size_t g = 0; g < group(); ++g)
        to = std::copy_n(row.logits.data() + g * head_floats, lanes, to);
    std::ranges::copy(row.queries, to);
  }
  /// The step is over: what it staged can be read, and the next one stages elsewhere, for it may
  /// yet be taken back.
  void turn_over() { side_ = 1 - side_; }
  /// What a row of the last step saw. The KV head has as many tiles in use as it had then.
  observed_row::record staged(std::size_t head_index, std::size_t tiles, std::size_t number) const {
    const std::span<float> row = staged_row(1 - side_, head_index, number);
    const std::size_t lanes = tiles * tile_lanes, shown = kinds * lanes,
                      scored = logits ? group() * lanes : 0;
    observed_row::record out;
    if (mean) out.probabilities = row.first(lanes);
    if (largest) out.largest = row.first(shown).last(lanes);
    out.logits = row.subspan(shown, scored);
    if (queries) out.queries = row.subspan(shown + scored, group() * shape_.head_dim);
    return out;
  }

 private:
  std::size_t group() const { return shape_.group(); }
  std::size_t row_floats() const {
    const std::size_t lanes = tiles_ * tile_lanes;
    return kinds * lanes + (logits ? group() * lanes : 0) +
           (queries ? group() * shape_.head_dim : 0);
  }
  /// `read`, with the probabilities `[kind, tile, 32]` in `to`.
  observed_row::record read_to(float* to, std::size_t place, std::size_t tiles, std::size_t r,
                               std::size_t rows, const float* q) const {
    const std::size_t first = (place * rows + r) * group();  // packed row of the first query head
    const std::size_t head_floats = tile_stride_ * tile_lanes;
    observed_row::record out;
    if constexpr (logits) {
      for (std::size_t g = 0; g < group(); ++g)
        clear_unread(&score_[(first + g) * head_floats], &largest_[(first + g) * tile_stride_],
                     tiles);
      out.logits = score_.subspan(first * head_floats, group() * head_floats);
    }
    if constexpr (probabilities) {
      const std::size_t lanes = tiles * tile_lanes;
      if (mean) out.probabilities = {to, lanes};
      if (largest) out.largest = {to + (kinds - 1) * lanes, lanes};
      kernels<observation_kernels>().row_probabilities(
          &weight_[first * head_floats], &largest_[first * tile_stride_], tile_stride_,
          &total_[first * 2], group(), tiles, mean ? to : nullptr,
          largest ? to + (kinds - 1) * lanes : nullptr);
    }
    if (queries) out.queries = {q, group() * shape_.head_dim};
    return out;
  }
  std::span<float> staged_row(std::size_t side, std::size_t head_index, std::size_t number) const {
    return staged_.subspan(
        ((side * shape_.total_kv_heads() + head_index) * staged_rows_ + number - first_staged_) *
            row_floats(),
        row_floats());
  }

  kv_shape shape_;
  std::size_t tiles_, tile_stride_, first_staged_, staged_rows_, side_ = 0;
  arena_plan::block<float> weight_block_, score_block_, largest_block_, total_block_, row_block_,
      staged_block_;
  std::span<float> weight_, score_;  // [kv_head, row, group, tile, 32]
  std::span<float> largest_;         // [kv_head, row, group, tile]
  std::span<float> total_;           // [kv_head, row, group, 2]
  std::span<float> row_;             // [kv_head, kind, tile, 32] probabilities of a row
  std::span<float> staged_;          // [side, head_index, staged row, row_floats]
};

}  // namespace weir::inline WEIR_TARGET
