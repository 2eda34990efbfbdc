// A model, a cache and what joins them: token ids go in, logits come out, for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/token.hpp>
#include <weir/model/llama.hpp>
#include <weir/model/load_model.hpp>
#include <weir/sampling/log_probability.hpp>

namespace weir {

/// What a model asks of a cache.
inline kv_shape shape_of(const llama_config& c) {
  return {.layers = c.block_count,
          .q_heads = c.head_count,
          .kv_heads = c.head_count_kv,
          .head_dim = c.head_dim,
          .rope = {c.rope_dimension_count, c.rope_freq_base, rope_pairing::interleaved},
          .trained_context = c.context_length};
}

struct stream_options {
  std::size_t chunk = 256;        ///< most tokens that go through the model at once
  unsigned threads = 0;           ///< 0: one per hardware thread; ignored with `workers`
  executor* workers = nullptr;    ///< threads of the user's own; must outlive the stream
  std::size_t cadence = 32;       ///< see cache_options
  std::uint64_t first_index = 0;  ///< see cache_options
};

/// One stream of tokens through one model. Bits of its logits depend on the tokens and the
/// policies alone: not on chunks, threads or who else is running. The model must outlive it.
template <class Keep, class Cache>
class basic_token_stream {
 public:
  /// Throws error::bad_config. Everything the stream will ever hold is allocated here.
  basic_token_stream(const llama_model& model, Keep keep, const stream_options& options = {})
      : owned_(options.workers == nullptr ? std::make_unique<thread_pool>(options.threads)
                                          : nullptr),
        threads_(options.workers == nullptr ? owned_.get() : options.workers),
        cache_(shape_of(model.config), std::move(keep), cache_settings(options, threads_)),
        pass_(model.config, model.weights, options.chunk),
        rows_(options.chunk),
        logits_(model.config.vocab_size),
        told_logits_(told_rows * model.config.vocab_size) {}

  /// Bytes of cache, working memory and logits, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const Keep& keep,
                                    const stream_options& options = {}) {
    return Cache::required_bytes(shape_of(model.config), keep, cache_settings(options, nullptr)) +
           llama_pass::required_bytes(model.config, model.weights, options.chunk) +
           (1 + told_rows) * model.config.vocab_size * sizeof(float) + options.chunk * sizeof(row);
  }
  std::size_t bytes() const {
    return cache_.bytes() + pass_.bytes() + (logits_.size() + told_logits_.size()) * sizeof(float) +
           rows_.size() * sizeof(row);
  }

  /// Called after each chunk: rows [0, rows) of the chunk stand for tokens first … first + rows −
  /// 1 of those being fed; `row_logits` may be asked for them.
  using chunk_done = function_ref<void(std::size_t first, std::size_t rows)>;

  /// Appends tokens to the stream, chunk by chunk. Returns how many went in: fewer than given only
  /// if `cancel` was asked to stop, which is noticed between chunks. Throws error::bad_input for an
  /// id outside the vocabulary or more tokens than the cache has room for, before any is appended.
  std::size_t feed(std::span<const token_id> tokens, std::stop_token cancel = {}) {
    return feed(
        tokens, [](std::size_t, std::size_t) {}, std::move(cancel));
  }
  std::size_t feed(std::span<const token_id> tokens, chunk_done done,
                   const std::stop_token& cancel = {}) {
    require_in_vocabulary(tokens, logits_.size());
    error::require<error::bad_input>(tokens.size() <= cache_.room(), "feed: ", tokens.size(),
                                     " tokens do not fit (room for ", cache_.room(),
                                     "; this cache keeps everything)");
    std::size_t fed = 0;
    while (fed < tokens.size() && !cancel.stop_requested()) {
      const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(
          std::min(rows_.size(), tokens.size() - fed), cache_.finals_room()));
      if constexpr (Cache::wants_log_probabilities) tell_first(tokens[fed]);
      auto step = cache_.begin(std::span(rows_).first(n));
      const kv_shape& shape = cache_.shape();
      const std::size_t q = n * shape.q_heads * shape.head_dim;
      const std::size_t kv = n * shape.kv_heads * shape.head_dim;
      pass_.forward(
          tokens.subspan(fed, n),
          [&](std::size_t layer, const float* queries, const float* keys, const float* values,
              float* out) {
            step.attend(layer, {queries, q}, {keys, kv}, {values, kv}, {out, q});
          },
          *threads_);
      step.commit();
      has_logits_ = false;
      if constexpr (Cache::wants_log_probabilities) tell_rest(tokens.subspan(fed, n));
      done(fed, n);
      fed += n;
    }
    return fed;
  }

  /// Logits `[vocabulary]` behind the last token fed. Computed when first asked for. Throws
  /// error::bad_call if nothing was fed yet.
  std::span<const float> logits() {
    error::require<error::bad_call>(pass_.rows() > 0, "logits: no token was fed yet");
    if (!has_logits_) pass_.logits(pass_.rows() - 1, 1, logits_.data(), *threads_);
    has_logits_ = true;
    return logits_;
  }
  /// Logits `[n, vocabulary]` of rows of the last chunk.
  void row_logits(std::size_t first, std::size_t n, float* out) {
    pass_.logits(first, n, out, *threads_);
  }

  /// Forgets the stream; the memory stays.
  void reset() {
    cache_.reset();
    has_logits_ = false;
  }

  /// Stream index of the next token.
  std::uint64_t length() const { return cache_.length(); }
  const Cache& cache() const { return cache_; }

 private:
  /// Rows whose logits are worked out at once for policies that go by log-probabilities.
  static constexpr std::size_t told_rows = Cache::wants_log_probabilities ? 32 : 0;

  /// Tells the cache how probable the next token to be fed is.
  void tell_first(token_id id) {
    const bool is_first = length() == cache_.options().first_index;
    cache_.tell_log_probability(
        length(), is_first ? 0.0f : static_cast<float>(log_probability(logits(), id)));
  }
  /// The same of those behind the first, which went through the model as its last rows.
  void tell_rest(std::span<const token_id> fed) {
    const std::size_t words = logits_.size();
    for (std::size_t first = 0; first + 1 < fed.size(); first += told_rows) {
      const std::size_t n = std::min(told_rows, fed.size() - 1 - first);
      row_logits(first, n, told_logits_.data());
      for (std::size_t i = 0; i < n; ++i)
        cache_.tell_log_probability(
            length() - fed.size() + first + i + 1,
            static_cast<float>(log_probability(std::span(told_logits_).subspan(i * words, words),
                                               fed[first + i + 1])));
    }
  }

  static cache_options cache_settings(const stream_options& o, executor* threads) {
    return {.max_rows = o.chunk,
            .may_take_back = false,
            .cadence = o.cadence,
            .first_index = o.first_index,
            .threads = threads};
  }

  std::unique_ptr<thread_pool> owned_;
  executor* threads_;
  Cache cache_;
  llama_pass pass_;
  std::vector<row> rows_;           // [row] a chain of final rows
  std::vector<float> logits_;       // [vocabulary]
  std::vector<float> told_logits_;  // [told_rows, vocabulary]
  bool has_logits_ = false;
};

namespace detail {
template <class Cache>
struct cache_keep;
template <class Codec, class Keep, class Positions, class Layout, class Arch>
struct cache_keep<kv_cache<Codec, Keep, Positions, Layout, Arch>> {
  using type = Keep;
};
}  // namespace detail

/// The policy list that a cache type was made with.
template <class Cache>
using keep_of = typename detail::cache_keep<Cache>::type;

template <class Cache>
using token_stream = basic_token_stream<keep_of<Cache>, Cache>;

}  // namespace weir
