// Bodies of model/llama.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <weir/core/arena.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/model/attend.hpp>
#include <weir/model/llama.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE llama_pass::llama_pass(const llama_config& config, const llama_weights& weights,
                                   std::size_t max_rows)
    : config_(config), weights_(&weights), max_rows_(max_rows) {
  error::require<error::bad_config>(max_rows > 0, "max_rows: 0 (expected at least 1)");
  require_kernels();
  arena_plan plan;
  const blocks b = reserve(plan, config, weights, max_rows);
  memory_ = arena(plan);
  not_finite_ = memory_[b.not_finite];
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

WEIR_INLINE std::size_t llama_pass::required_bytes(const llama_config& config,
                                                   const llama_weights& weights,
                                                   std::size_t max_rows) {
  arena_plan plan;
  reserve(plan, config, weights, max_rows);
  return plan.bytes();
}

WEIR_INLINE void llama_pass::forward(std::span<const token_id> tokens, attend_ref attend,
                                     executor& threads) {
  require_rows(tokens, 0);
  begin();
  append(tokens);
  const std::size_t rows = std::exchange(rows_, 0);  // none to ask logits of until all is done
  run(0, layers(), 0, rows, attend, threads);
  rows_ = rows;
}

WEIR_INLINE void llama_pass::append(std::span<const token_id> tokens) {
  require_rows(tokens, rows_);
  const std::size_t width = config_.embedding_length;
  for (const token_id id : tokens) {
    products().load_row(weights_->token_embedding, static_cast<std::size_t>(id),
                        &hidden_[rows_ * width]);
    not_finite_[rows_++] = finite;
  }
}

WEIR_INLINE void llama_pass::append_embeddings(std::span<const float> embeddings) {
  const std::size_t width = config_.embedding_length, rows = embeddings.size() / width;
  error::require<error::bad_input>(embeddings.size() % width == 0, "forward: embeddings of ",
                                   embeddings.size(), " floats (expected rows of ", width, ")");
  require_room(rows, rows_);
  std::ranges::copy(embeddings, &hidden_[rows_ * width]);
  std::fill_n(not_finite_.begin() + static_cast<std::ptrdiff_t>(rows_), rows, finite);
  rows_ += rows;
}

WEIR_INLINE void llama_pass::run(std::size_t first_layer, std::size_t last_layer, std::size_t first,
                                 std::size_t last, attend_ref attend, executor& threads) {
  if (first == last) return;
  float* const hidden = &hidden_[first * config_.embedding_length];
  if (first_layer == 0) look_for_not_finite(first, last, 0);
  for (std::size_t layer = first_layer; layer < last_layer; ++layer) {
    attention(layer, hidden, last - first, attend, threads);
    feed_forward(weights_->layers[layer], hidden, last - first, threads);
    look_for_not_finite(first, last, layer + 1);
  }
}

WEIR_INLINE void llama_pass::look_for_not_finite(std::size_t first, std::size_t last,
                                                 std::size_t place) {
  const std::size_t width = config_.embedding_length;
  // The top bit of magnitude + one unit of the exponent: set where all of the exponent is. A fixed
  // number of sums, which compilers turn into registers: what is read here lies in the first cache.
  constexpr std::size_t sums = 16;
  const auto overflow = [](float x) {
    return (std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu) + 0x00800000u;
  };
  for (std::size_t row = first; row < last; ++row) {
    if (not_finite_[row] != finite) continue;
    const float* const x = &hidden_[row * width];
    std::uint32_t sum[sums] = {};
    std::size_t i = 0;
    for (; i + sums <= width; i += sums)
      for (std::size_t l = 0; l < sums; ++l) sum[l] |= overflow(x[i + l]);
    for (; i < width; ++i) sum[0] |= overflow(x[i]);
    std::uint32_t any = 0;
    for (const std::uint32_t s : sum) any |= s;
    if (any >> 31 != 0) not_finite_[row] = static_cast<std::uint32_t>(place);
  }
}

WEIR_INLINE std::string llama_pass::first_not_finite(std::size_t row) const {
  error::require<error::bad_input>(row < rows_, "first_not_finite: row ", row,
                                   " (expected a row of the last pass, which had ", rows_, ")");
  if (not_finite_[row] == finite) return "the output";
  if (not_finite_[row] == 0) return "its embedding";
  return "layer " + std::to_string(not_finite_[row] - 1);
}

WEIR_INLINE void llama_pass::logits(std::size_t first_row, std::size_t n_rows, float* out,
                                    executor& threads) {
  error::require<error::bad_input>(first_row <= rows_ && n_rows <= rows_ - first_row,
                                   "logits: rows ", first_row, " to ", first_row + n_rows,
                                   " (expected rows of the last pass, which had ", rows_, ")");
  if (n_rows == 0) return;
  const std::size_t width = config_.embedding_length;
  activations().rms_norm(&hidden_[first_row * width], weights_->output_norm.data(), n_rows, width,
                         config_.rms_epsilon, normed_.data(), threads);
  products().matmul(weights_->output, normed_.data(), n_rows, out, quantized_, threads);
}

WEIR_INLINE void llama_pass::require_rows(std::span<const token_id> tokens,
                                          std::size_t rows) const {
  require_room(tokens.size(), rows);
  for (const token_id id : tokens)
    error::require<error::bad_input>(id >= 0 && static_cast<std::size_t>(id) < config_.vocab_size,
                                     "forward: token ", id, " (expected 0 to ",
                                     config_.vocab_size - 1, ")");
}

WEIR_INLINE llama_pass::blocks llama_pass::reserve(arena_plan& plan, const llama_config& c,
                                                   const llama_weights& weights, std::size_t rows) {
  const std::size_t query_width = checked_product(c.head_count, c.head_dim);
  const std::size_t kv_width = checked_product(c.head_count_kv, c.head_dim);
  blocks b;
  b.not_finite = plan.reserve<std::uint32_t>(rows);
  b.hidden = plan.reserve<float>(rows, c.embedding_length);
  b.normed = plan.reserve<float>(rows, c.embedding_length);
  b.q = plan.reserve<float>(rows, query_width);
  b.k = plan.reserve<float>(rows, kv_width);
  b.v = plan.reserve<float>(rows, kv_width);
  b.attended = plan.reserve<float>(rows, query_width);
  b.gate = plan.reserve<float>(rows, c.feed_forward_length);
  b.up = plan.reserve<float>(rows, c.feed_forward_length);
  b.quantized = quantized_rows::reserve(plan, rows, widest_quantized(weights));
  return b;
}

WEIR_INLINE std::size_t llama_pass::widest_quantized(const llama_weights& weights) {
  std::size_t most = 0;
  for_each_product(weights, [&](const matrix_view& m) {
    if (is_quantized(m.type)) most = std::max(most, m.cols);
  });
  return most;
}

WEIR_INLINE void llama_pass::attention(std::size_t layer, float* hidden, std::size_t rows,
                                       attend_ref attend, executor& threads) {
  const llama_layer_weights& w = weights_->layers[layer];
  activations().rms_norm(hidden, w.attn_norm.data(), rows, config_.embedding_length,
                         config_.rms_epsilon, normed_.data(), threads);
  products().matmul(w.q, normed_.data(), rows, q_.data(), quantized_, threads);
  products().matmul(w.k, normed_.data(), rows, k_.data(), quantized_, threads);
  products().matmul(w.v, normed_.data(), rows, v_.data(), quantized_, threads);
  attend(layer, q_.data(), k_.data(), v_.data(), attended_.data());
  products().matmul_add(w.o, attended_.data(), rows, hidden, quantized_, threads);
}

WEIR_INLINE void llama_pass::feed_forward(const llama_layer_weights& w, float* hidden,
                                          std::size_t rows, executor& threads) {
  activations().rms_norm(hidden, w.ffn_norm.data(), rows, config_.embedding_length,
                         config_.rms_epsilon, normed_.data(), threads);
  products().matmul(w.gate, normed_.data(), rows, gate_.data(), quantized_, threads);
  products().matmul(w.up, normed_.data(), rows, up_.data(), quantized_, threads);
  activations().swiglu(gate_.data(), up_.data(), rows * config_.feed_forward_length, gate_.data(),
                       threads);
  products().matmul_add(w.down, gate_.data(), rows, hidden, quantized_, threads);
}

}  // namespace weir::inline WEIR_TARGET
