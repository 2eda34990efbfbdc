// The forward pass of the Llama family: Touvron et al., arXiv 2302.13971.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

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
  llama_pass(const llama_config& config, const llama_weights& weights, std::size_t max_rows)
      : config_(config), weights_(&weights), max_rows_(max_rows) {
    error::require<error::bad_config>(max_rows > 0, "max_rows: 0 (expected at least 1)");
    require_kernels();
    arena_plan plan;
    const blocks b = reserve(plan, config, weights, max_rows);
    memory_ = arena(plan);
    hidden_ = memory_[b.hidden];
    normed_ = memory_[b.normed];
    q_ = memory_[b.q];
    k_ = memory_[b.k];
    v_ = memory_[b.v];
    attended_ = memory_[b.attended];
    gate_ = memory_[b.gate];
    up_ = memory_[b.up];
    quantized_ = b.quantized.in(memory_);
  }

  /// Exactly the bytes that a pass holds.
  static std::size_t required_bytes(const llama_config& config, const llama_weights& weights,
                                    std::size_t max_rows) {
    arena_plan plan;
    reserve(plan, config, weights, max_rows);
    return plan.bytes();
  }

  std::size_t bytes() const { return memory_.bytes(); }
  std::size_t max_rows() const { return max_rows_; }
  /// Rows of the last pass.
  std::size_t rows() const { return rows_; }
  const llama_config& config() const { return config_; }

  /// Takes one row for each token through all layers; `attend` gives the rows their context.
  /// Throws `error::bad_input` for too many rows or ids outside the vocabulary, before anything is
  /// attended. No allocation.
  void forward(std::span<const token_id> tokens, attend_ref attend, executor& threads) {
    require_rows(tokens, 0);
    begin();
    append(tokens);
    const std::size_t rows = std::exchange(rows_, 0);  // none to ask logits of until all is done
    run(0, layers(), 0, rows, attend, threads);
    rows_ = rows;
  }

  /// The same, bit by bit: rows may come little by little and go through the layers apart, in
  /// rising order each.
  void begin() { rows_ = 0; }
  /// Adds a row for each token, which has been through no layer yet. Throws as `forward` does; then
  /// nothing has changed.
  void append(std::span<const token_id> tokens) {
    require_rows(tokens, rows_);
    const std::size_t width = config_.embedding_length;
    for (const token_id id : tokens)
      products().load_row(weights_->token_embedding, static_cast<std::size_t>(id),
                          &hidden_[rows_++ * width]);
  }
  /// Adds a row for each vector of `[n, embedding_length]`, as if these were the embeddings of
  /// tokens. Throws error::bad_input for too many rows or a part of one; then nothing has changed.
  void append_embeddings(std::span<const float> embeddings) {
    const std::size_t width = config_.embedding_length, rows = embeddings.size() / width;
    error::require<error::bad_input>(embeddings.size() % width == 0, "forward: embeddings of ",
                                     embeddings.size(), " floats (expected rows of ", width, ")");
    require_room(rows, rows_);
    std::ranges::copy(embeddings, &hidden_[rows_ * width]);
    rows_ += rows;
  }
  /// Takes rows [first, last) through layers [first_layer, last_layer); `attend` is asked about
  /// these rows alone.
  void run(std::size_t first_layer, std::size_t last_layer, std::size_t first, std::size_t last,
           attend_ref attend, executor& threads) {
    if (first == last) return;
    float* const hidden = &hidden_[first * config_.embedding_length];
    for (std::size_t layer = first_layer; layer < last_layer; ++layer) {
      attention(layer, hidden, last - first, attend, threads);
      feed_forward(weights_->layers[layer], hidden, last - first, threads);
    }
  }

  std::size_t layers() const { return weights_->layers.size(); }
  /// The pass's rows behind the layers they have been through, before the final norm:
  /// [row, embedding_length].
  std::span<const float> hidden() const { return hidden_.first(rows_ * config_.embedding_length); }

  /// out[n_rows, vocab_size]: logits of rows first_row … first_row + n_rows − 1 of the last pass.
  /// Rows that nobody asks for cost nothing. No allocation.
  void logits(std::size_t first_row, std::size_t n_rows, float* out, executor& threads) {
    error::require<error::bad_input>(first_row <= rows_ && n_rows <= rows_ - first_row,
                                     "logits: rows ", first_row, " to ", first_row + n_rows,
                                     " (expected rows of the last pass, which had ", rows_, ")");
    if (n_rows == 0) return;
    const std::size_t width = config_.embedding_length;
    activations().rms_norm(&hidden_[first_row * width], weights_->output_norm.data(), n_rows, width,
                           config_.rms_epsilon, normed_.data(), threads);
    products().matmul(weights_->output, normed_.data(), n_rows, out, quantized_, threads);
  }

 private:
  static const product_kernels& products() { return kernels<product_kernels>(); }
  static const row_kernels& activations() { return kernels<row_kernels>(); }

  /// Throws unless `n` rows can follow `rows` others.
  void require_room(std::size_t n, std::size_t rows) const {
    error::require<error::bad_input>(n <= max_rows_ - rows, "forward: ", rows + n,
                                     " rows (expected at most ", max_rows_, ")");
  }
  /// Throws unless rows for `tokens` can.
  void require_rows(std::span<const token_id> tokens, std::size_t rows) const {
    require_room(tokens.size(), rows);
    for (const token_id id : tokens)
      error::require<error::bad_input>(id >= 0 && static_cast<std::size_t>(id) < config_.vocab_size,
                                       "forward: token ", id, " (expected 0 to ",
                                       config_.vocab_size - 1, ")");
  }

  struct blocks {
    arena_plan::block<float> hidden, normed, q, k, v, attended, gate, up;
    quantized_rows::layout quantized;
  };

  static blocks reserve(arena_plan& plan, const llama_config& c, const llama_weights& weights,
                        std::size_t rows) {
    const std::size_t query_width = c.head_count * c.head_dim;
    const std::size_t kv_width = c.head_count_kv * c.head_dim;
    blocks b;
    b.hidden = plan.reserve<float>(rows * c.embedding_length);
    b.normed = plan.reserve<float>(rows * c.embedding_length);
    b.q = plan.reserve<float>(rows * query_width);
    b.k = plan.reserve<float>(rows * kv_width);
    b.v = plan.reserve<float>(rows * kv_width);
    b.attended = plan.reserve<float>(rows * query_width);
    b.gate = plan.reserve<float>(rows * c.feed_forward_length);
    b.up = plan.reserve<float>(rows * c.feed_forward_length);
    b.quantized = quantized_rows::reserve(plan, rows, widest_quantized(weights));
    return b;
  }

  /// The most columns that a quantised matrix has.
  static std::size_t widest_quantized(const llama_weights& weights) {
    std::size_t most = 0;
    for_each_product(weights, [&](const matrix_view& m) {
      if (is_quantized(m.type)) most = std::max(most, m.cols);
    });
    return most;
  }

  void attention(std::size_t layer, float* hidden, std::size_t rows, attend_ref attend,
                 executor& threads) {
    const llama_layer_weights& w = weights_->layers[layer];
    activations().rms_norm(hidden, w.attn_norm.data(), rows, config_.embedding_length,
                           config_.rms_epsilon, normed_.data(), threads);
    products().matmul(w.q, normed_.data(), rows, q_.data(), quantized_, threads);
    products().matmul(w.k, normed_.data(), rows, k_.data(), quantized_, threads);
    products().matmul(w.v, normed_.data(), rows, v_.data(), quantized_, threads);
    attend(layer, q_.data(), k_.data(), v_.data(), attended_.data());
    products().matmul_add(w.o, attended_.data(), rows, hidden, quantized_, threads);
  }

  void feed_forward(const llama_layer_weights& w, float* hidden, std::size_t rows,
                    executor& threads) {
    activations().rms_norm(hidden, w.ffn_norm.data(), rows, config_.embedding_length,
                           config_.rms_epsilon, normed_.data(), threads);
    products().matmul(w.gate, normed_.data(), rows, gate_.data(), quantized_, threads);
    products().matmul(w.up, normed_.data(), rows, up_.data(), quantized_, threads);
    activations().swiglu(gate_.data(), up_.data(), rows * config_.feed_forward_length, gate_.data(),
                         threads);
    products().matmul_add(w.down, gate_.data(), rows, hidden, quantized_, threads);
  }

  llama_config config_;
  const llama_weights* weights_;
  std::size_t max_rows_;
  std::size_t rows_ = 0;
  arena memory_;
  std::span<float> hidden_, normed_;  // [row, embedding_length]
  std::span<float> q_, attended_;     // [row, query head, head_dim]
  std::span<float> k_, v_;            // [row, KV head, head_dim]
  std::span<float> gate_, up_;        // [row, feed_forward_length]
  quantized_rows quantized_;
};

}  // namespace weir::inline WEIR_TARGET
