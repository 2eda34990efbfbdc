// One forward pass over rows of several streams, each with a cache of its own.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/model/llama.hpp>
#include <weir/model/load_model.hpp>

namespace weir::inline WEIR_TARGET {

/// What a model asks of a cache.
inline kv_shape shape_of(const llama_config& c) {
  return {.layers = c.block_count,
          .q_heads = c.head_count,
          .kv_heads = c.head_count_kv,
          .head_dim = c.head_dim,
          .rope = {c.rope_dimension_count, c.rope_freq_base, rope_pairing::interleaved},
          .trained_context = c.context_length};
}

/// Rows of open steps, and the layers they go through together. A row's bits do not depend on the
/// rows beside it, so a stream's are those it would have alone. The model must outlive it.
template <class Step>
class shared_pass {
 public:
  /// `workers` null: as many threads of its own as `threads` says.
  shared_pass(const llama_model& model, std::size_t max_rows, std::size_t max_streams,
              unsigned threads, executor* workers)
      : owned_(workers == nullptr ? std::make_unique<thread_pool>(threads) : nullptr),
        threads_(workers == nullptr ? owned_.get() : workers),
        pass_(model.config, model.weights, max_rows) {
    parts_.reserve(max_streams);
  }

  static std::size_t required_bytes(const llama_model& model, std::size_t max_rows) {
    return llama_pass::required_bytes(model.config, model.weights, max_rows);
  }
  std::size_t bytes() const { return pass_.bytes(); }
  executor& threads() { return *threads_; }

  /// Forgets the rows of the last pass.
  void begin() {
    pass_.begin();
    parts_.clear();
  }
  /// Adds the first rows of an open step: `tokens`, one for each of its rows. Returns the number of
  /// the first of them. The step must stay where it is until the pass is over.
  std::size_t add(Step& step, std::span<const token_id> tokens) {
    const std::size_t first = pass_.rows();
    pass_.append(tokens);
    parts_.push_back({first, pass_.rows(), &step});
    return first;
  }
  /// Adds rows by which the step that was added last has been extended.
  void extend(std::span<const token_id> tokens) {
    pass_.append(tokens);
    parts_.back().last = pass_.rows();
  }
  /// The same, of rows that are no tokens: `[row, embedding_length]`.
  void extend_embeddings(std::span<const float> embeddings) {
    pass_.append_embeddings(embeddings);
    parts_.back().last = pass_.rows();
  }

  /// Takes rows [first, last) through layers [first_layer, last_layer). Each row goes through the
  /// layers in rising order.
  void run(std::size_t first_layer, std::size_t last_layer, std::size_t first, std::size_t last) {
    const llama_config& c = pass_.config();
    const std::size_t q_row = c.head_count * c.head_dim, kv_row = c.head_count_kv * c.head_dim;
    pass_.run(
        first_layer, last_layer, first, last,
        [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
          for (const part& p : parts_) {
            const std::size_t a = std::max(p.first, first), b = std::min(p.last, last);
            if (a >= b) continue;
            const std::size_t n = b - a;
            p.step->attend(
                layer, {q + (a - first) * q_row, n * q_row}, {k + (a - first) * kv_row, n * kv_row},
                {v + (a - first) * kv_row, n * kv_row}, {out + (a - first) * q_row, n * q_row});
          }
        },
        *threads_);
  }

  /// Takes all rows through the layers from `first_layer` on. Returns the seconds that took.
  double run_all(std::size_t first_layer = 0) {
    const auto start = std::chrono::steady_clock::now();
    run(first_layer, layers(), 0, rows());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::size_t rows() const { return pass_.rows(); }
  std::size_t layers() const { return pass_.layers(); }
  std::size_t embedding_length() const { return pass_.config().embedding_length; }
  /// `[n, vocabulary]`: what rows [first, first + n) say of the next token, after the layers they
  /// have been through.
  void logits(std::size_t first, std::size_t n, float* out) {
    pass_.logits(first, n, out, *threads_);
  }
  /// Where a row first held a number that is not finite: see llama_pass.
  std::string first_not_finite(std::size_t row) const { return pass_.first_not_finite(row); }
  /// A row's `[embedding_length]` behind those layers.
  std::span<const float> hidden(std::size_t row) const {
    const std::size_t width = pass_.config().embedding_length;
    return pass_.hidden().subspan(row * width, width);
  }

 private:
  struct part {
    std::size_t first, last;  // rows of the pass
    Step* step;
  };
  std::unique_ptr<thread_pool> owned_;
  executor* threads_;
  llama_pass pass_;
  std::vector<part> parts_;
};

}  // namespace weir::inline WEIR_TARGET
