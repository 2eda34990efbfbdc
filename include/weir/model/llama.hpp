// The forward pass of the Llama family: Touvron et al., arXiv 2302.13971.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/product_kernels.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/row_kernels.hpp>
#include <weir/model/attend.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>

namespace weir::inline WEIR_TARGET {

/// The working memory of forward passes over at most `max_rows` rows. It holds no state between
/// passes but the last one's hidden rows, whose logits may be asked for. Every row has the same
/// bits whatever rows go with it, and for every number of threads. The model must outlive it.
class llama_pass {
 public:
  llama_pass(const llama_config& config, const llama_weights& weights, std::size_t max_rows);

  /// Exactly the bytes that a pass holds.
  static std::size_t required_bytes(const llama_config& config, const llama_weights& weights,
                                    std::size_t max_rows);

  std::size_t bytes() const { return memory_.bytes(); }
  std::size_t max_rows() const { return max_rows_; }
  /// Rows of the last pass.
  std::size_t rows() const { return rows_; }
  const llama_config& config() const { return config_; }

  /// Takes one row for each token through all layers; `attend` gives the rows their context.
  /// Throws `error::bad_input` for too many rows or ids outside the vocabulary, before anything is
  /// attended. No allocation.
  void forward(std::span<const token_id> tokens, attend_ref attend, executor& threads);

  /// The same, bit by bit: rows may come little by little and go through the layers apart, in
  /// rising order each.
  void begin() { rows_ = 0; }
  /// Adds a row for each token, which has been through no layer yet. Throws as `forward` does; then
  /// nothing has changed.
  void append(std::span<const token_id> tokens);
  /// Adds a row for each vector of `[n, embedding_length]`, as if these were the embeddings of
  /// tokens. Throws error::bad_input for too many rows or a part of one; then nothing has changed.
  void append_embeddings(std::span<const float> embeddings);
  /// Takes rows [first, last) through layers [first_layer, last_layer); `attend` is asked about
  /// these rows alone.
  void run(std::size_t first_layer, std::size_t last_layer, std::size_t first, std::size_t last,
           attend_ref attend, executor& threads);

  std::size_t layers() const { return weights_->layers.size(); }
  /// The pass's rows behind the layers they have been through, before the final norm:
  /// [row, embedding_length].
  std::span<const float> hidden() const { return hidden_.first(rows_ * config_.embedding_length); }

  /// Where row `row` of the last pass first held a number that is not finite: "its embedding",
  /// "layer 3", or "the output" for a row that was finite behind every layer. Throws
  /// error::bad_input for a row that there is not. O(1).
  std::string first_not_finite(std::size_t row) const;

  /// out[n_rows, vocab_size]: logits of rows first_row … first_row + n_rows − 1 of the last pass.
  /// Rows that nobody asks for cost nothing. No allocation.
  void logits(std::size_t first_row, std::size_t n_rows, float* out, executor& threads);

 private:
  static const product_kernels& products() { return kernels<product_kernels>(); }
  static const row_kernels& activations() { return kernels<row_kernels>(); }

  /// Throws unless `n` rows can follow `rows` others.
  void require_room(std::size_t n, std::size_t rows) const {
    error::require<error::bad_input>(n <= max_rows_ - rows, "forward: ", rows + n,
                                     " rows (expected at most ", max_rows_, ")");
  }
  /// Throws unless rows for `tokens` can.
  void require_rows(std::span<const token_id> tokens, std::size_t rows) const;

  /// Of a row whose numbers are finite so far.
  static constexpr std::uint32_t finite = 0xFFFFFFFF;
  /// Notes the rows of [first, last) that are not finite any more behind `place`: 0 stands for the
  /// embedding, l + 1 for layer l.
  void look_for_not_finite(std::size_t first, std::size_t last, std::size_t place);

  struct blocks {
    arena_plan::block<std::uint32_t> not_finite;
    arena_plan::block<float> hidden, normed, q, k, v, attended, gate, up;
    quantized_rows::layout quantized;
  };

  static blocks reserve(arena_plan& plan, const llama_config& c, const llama_weights& weights,
                        std::size_t rows);

  /// The most columns that a quantised matrix has.
  static std::size_t widest_quantized(const llama_weights& weights);

  void attention(std::size_t layer, float* hidden, std::size_t rows, attend_ref attend,
                 executor& threads);

  void feed_forward(const llama_layer_weights& w, float* hidden, std::size_t rows,
                    executor& threads);

  llama_config config_;
  const llama_weights* weights_;
  std::size_t max_rows_;
  std::size_t rows_ = 0;
  arena memory_;
  std::span<std::uint32_t> not_finite_;  // [row] the first place, or `finite`
  std::span<float> hidden_, normed_;     // [row, embedding_length]
  std::span<float> q_, attended_;        // [row, query head, head_dim]
  std::span<float> k_, v_;               // [row, KV head, head_dim]
  std::span<float> gate_, up_;           // [row, feed_forward_length]
  quantized_rows quantized_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/llama.inl.hpp>
#endif
