// A model, a cache and what joins them: token ids go in, logits come out, for ever.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/core/undo.hpp>
#include <weir/model/load_model.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/stream/shared_pass.hpp>
#include <weir/stream/stream_options.hpp>
#include <weir/stream/tell_fed.hpp>

namespace weir::inline WEIR_TARGET {

/// One stream of tokens through one model. Bits of its logits depend on the tokens and the
/// policies alone: not on chunks, threads or who else is running. The model must outlive it.
template <class Keep, class Cache>
class basic_token_stream {
  using pass_type = shared_pass<typename Cache::step>;

 public:
  using model_type = llama_model;
  using keep_type = Keep;
  using options_type = stream_options;

  /// Throws error::bad_config, error::out_of_memory. Everything the stream will ever hold is
  /// allocated here. `drafts`: what `extend` may add to an open step.
  basic_token_stream(const llama_model& model, Keep keep, const stream_options& options = {},
                     const draft_limits& drafts = {}) WEIR_TRY
      : pass_(model, options.pass_rows(drafts), 1, options.threads, options.workers),
        cache_(shape_of(model.config), std::move(keep),
               options.for_cache(model, drafts, &pass_.threads())),
        chunk_(options.chunk),
        rows_(options.chunk),
        logits_(model.config.vocab_size),
        told_logits_(checked_product(told_rows, model.config.vocab_size)) {}
  WEIR_OR_OUT_OF_MEMORY("token_stream")

  /// Bytes of cache, working memory and logits, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const Keep& keep,
                                    const stream_options& options = {},
                                    const draft_limits& drafts = {}) {
    return checked_sum(
        Cache::required_bytes(shape_of(model.config), keep,
                              options.for_cache(model, drafts, nullptr)),
        pass_type::required_bytes(model, options.pass_rows(drafts)),
        (1 + told_rows) * model.config.vocab_size * sizeof(float) + options.chunk * sizeof(row));
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
    require_closed("feed");
    require_in_vocabulary(tokens, logits_.size());
    error::require<error::bad_input>(tokens.size() <= cache_.room(), "feed: ", tokens.size(),
                                     " tokens do not fit (room for ", cache_.room(),
                                     "; this cache keeps everything)");
    std::size_t fed = 0;
    while (fed < tokens.size() && !cancel.stop_requested()) {
      const std::size_t n = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(chunk_, tokens.size() - fed), cache_.finals_room()));
      if constexpr (Cache::wants_log_probabilities) tell_first(tokens[fed]);
      open(tokens.subspan(fed, n));
      commit();
      if constexpr (Cache::wants_log_probabilities)
        tell_fed(cache_, pass_, {tokens.subspan(fed, n), n, 0, length() - n}, logits_.size(),
                 told_logits_);
      done(fed, n);
      fed += n;
    }
    return fed;
  }

  /// `feed` in parts, for drafting. Opens a step of at least one and at most a chunk of tokens, and
  /// takes them through the model; they are rows 0 … of `row_logits`. Throws error::bad_input for
  /// none or more, or an id outside the vocabulary, and what kv_cache::begin throws; then nothing
  /// has changed. Not for policies that go by log-probabilities.
  void open(std::span<const token_id> tokens) {
    require_closed("open");
    error::require<error::bad_input>(!tokens.empty() && tokens.size() <= chunk_,
                                     "open: ", tokens.size(),
                                     " tokens (expected 1 to chunk = ", chunk_, ")");
    require_in_vocabulary(tokens, logits_.size());
    step_.emplace(cache_.begin(std::span(rows_).first(tokens.size())));
    undo_unless_done step([this] { give_up(); });
    pass_.begin();
    pass_.add(*step_, tokens);
    pass_.run_all();
    has_logits_ = false;
    step.done();
  }
  /// Takes provisional rows through the model: `tokens`, one for each of `rows`, which see the rows
  /// of the open step that they say. Throws error::bad_call if none is open, error::bad_input for
  /// another number of tokens or an id outside the vocabulary, and what cache_step::extend throws;
  /// then nothing has changed.
  void extend(std::span<const token_id> tokens, std::span<const row> rows) {
    require_open("extend");
    error::require<error::bad_input>(tokens.size() == rows.size(), "extend: ", tokens.size(),
                                     " tokens (expected one for each of ", rows.size(), " rows)");
    require_in_vocabulary(tokens, logits_.size());
    const std::size_t old = pass_.rows();
    step_->extend(rows);
    undo_unless_done step([this] { give_up(); });
    pass_.extend(tokens);
    pass_.run(0, pass_.layers(), old, pass_.rows());
    has_logits_ = false;
    step.done();
  }
  /// Makes the step's tokens and the provisional rows of `path` part of the stream. Throws
  /// error::bad_call if no step is open, and what cache_step::commit throws; then it stays open.
  void commit(std::span<const std::size_t> path = {}) {
    require_open("commit");
    step_->commit(path);
    step_.reset();
  }
  bool is_open() const { return step_.has_value(); }

  /// Logits `[vocabulary]` behind the last token fed. Computed when first asked for. Throws
  /// error::bad_call if nothing was fed yet.
  std::span<const float> logits() {
    error::require<error::bad_call>(pass_.rows() > 0, "logits: no token was fed yet");
    if (!has_logits_) pass_.logits(pass_.rows() - 1, 1, logits_.data());
    has_logits_ = true;
    return logits_;
  }
  /// Logits `[n, vocabulary]` of rows of the last chunk or open step.
  void row_logits(std::size_t first, std::size_t n, float* out) { pass_.logits(first, n, out); }

  /// Where row `row` of the last chunk or open step first held a number that is not finite: "its
  /// embedding", "layer 3", or "the output" for a row that was finite behind every layer.
  std::string first_not_finite(std::size_t row) const { return pass_.first_not_finite(row); }

  /// Forgets the stream; the memory stays.
  void reset() {
    give_up();
    cache_.reset();
  }

  /// Stream index of the next token.
  std::uint64_t length() const { return cache_.length(); }
  const Cache& cache() const { return cache_; }

 private:
  /// Rows whose logits are worked out at once for policies that go by log-probabilities.
  static constexpr std::size_t told_rows = Cache::wants_log_probabilities ? 32 : 0;

  void require_open(const char* call) const {
    error::require<error::bad_call>(is_open(), call, ": no step is open (expected open first)");
  }
  void require_closed(const char* call) const {
    error::require<error::bad_call>(!is_open(), call, ": a step is open (expected commit first)");
  }
  /// Drops the open step and what the pass knows.
  void give_up() {
    step_.reset();
    pass_.begin();
    has_logits_ = false;
  }

  /// Tells the cache how probable the next token to be fed is.
  void tell_first(token_id id) {
    const bool is_first = length() == cache_.options().first_index;
    cache_.tell_log_probability(
        length(), is_first ? 0.0f : static_cast<float>(log_probability(logits(), id)));
  }

  pass_type pass_;
  Cache cache_;
  std::optional<typename Cache::step> step_;  // behind the cache: it is closed first
  std::size_t chunk_;
  std::vector<row> rows_;           // [row] a chain of final rows
  std::vector<float> logits_;       // [vocabulary]
  std::vector<float> told_logits_;  // [told_rows, vocabulary]
  bool has_logits_ = false;
};

template <class Cache>
using token_stream = basic_token_stream<keep_of<Cache>, Cache>;

}  // namespace weir::inline WEIR_TARGET
