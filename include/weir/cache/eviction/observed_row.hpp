// What a policy is told of one row's attention in one KV head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/eviction/entry_memory.hpp>
#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// One row, seen from one KV head. Arrays run over slots, whatever lies in them: a slot that the
/// row did not read has probability +0 and logit −∞. Valid for the duration of the call.
class observed_row {
 public:
  /// What the row did; spans that nobody needs are empty.
  struct record {
    std::uint64_t first_index = 0;         ///< of the stream
    std::uint64_t index = 0;               ///< stream index of the row
    std::uint64_t boundary = 0;            ///< of the boundary that follows
    std::span<const float> probabilities;  ///< [slot]
    std::span<const float> largest;        ///< [slot] probabilities
    std::span<const float> logits;         ///< [query head of the group, slot and room for more]
    std::span<const float> queries;        ///< [query head of the group, head_dim]
  };

  observed_row(const kv_shape& shape, std::size_t layer, std::size_t kv_head, const record& row,
               std::span<const std::uint64_t> indices, const entry_memory& memory)
      : shape_(&shape),
        layer_(layer),
        kv_head_(kv_head),
        row_(row),
        indices_(indices),
        memory_(memory.over(indices.size())) {}

  const kv_shape& shape() const { return *shape_; }
  std::size_t layer() const { return layer_; }
  std::size_t kv_head() const { return kv_head_; }

  /// Stream index of the stream's first token.
  stream_index first_index() const { return {row_.first_index}; }
  /// Stream index of the row, and how many rows are left up to the next boundary: 0 for the last.
  stream_index index() const { return {row_.index}; }
  std::size_t rows_left() const { return static_cast<std::size_t>(row_.boundary - row_.index - 1); }

  /// Slots that the arrays run over: all that are in use, in whole tiles.
  std::size_t slots() const { return indices_.size(); }
  /// Stream index of the entry in each slot `[slot]`; meaningless where nothing was read.
  std::span<const std::uint64_t> indices() const { return indices_; }

  /// Attention probabilities `[slot]`, mean over the query heads. Needs
  /// signals::attention_probabilities.
  std::span<const float> probabilities() const { return row_.probabilities; }
  /// The same, the largest over the query heads. Needs signals::largest_probabilities.
  std::span<const float> largest_probabilities() const { return row_.largest; }
  /// The same row for those who take the latter for the former.
  observed_row by_largest() const {
    observed_row other = *this;
    other.row_.probabilities = row_.largest;
    return other;
  }
  /// Scaled attention logits `[slot]` of one query head of the group. Needs
  /// signals::attention_logits.
  std::span<const float> logits(std::size_t head) const {
    return row_.logits.subspan(head * (row_.logits.size() / shape_->group()), slots());
  }
  /// The query `[head_dim]` of one query head of the group, neither rotated nor scaled. Needs
  /// signals::queries.
  std::span<const float> query(std::size_t head) const {
    return row_.queries.subspan(head * shape_->head_dim, shape_->head_dim);
  }

  /// The policy's k-th note of every entry `[slot]`.
  std::span<float> notes(std::size_t k = 0) const { return memory_.note(k); }
  /// The policy's floats for this layer and KV head.
  std::span<float> state() const { return memory_.state; }
  /// The policy's k-th array to work in `[slot]`.
  std::span<float> scratch(std::size_t k = 0) const { return memory_.array(k); }

 private:
  const kv_shape* shape_;
  std::size_t layer_, kv_head_;
  record row_;
  std::span<const std::uint64_t> indices_;
  entry_memory memory_;
};

}  // namespace weir::inline WEIR_TARGET
