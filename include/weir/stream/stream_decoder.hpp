// The decoder: text in, text out, a loop away.
//
//   for (std::string_view piece : decoder.generate("Once upon a time")) std::cout << piece;
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/core/checked_size.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/core/undo.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/stream/sequence.hpp>
#include <weir/stream/stream_options.hpp>
#include <weir/stream/text_decoder.hpp>

namespace weir::inline WEIR_TARGET {

/// A stream of text through a model. What it generates depends on the model, the policies, the
/// options and the prompts alone. The model must outlive it; it must not move while in use.
template <class Cache, class Speculation = no_speculation>
class stream_decoder : public text_decoder<stream_decoder<Cache, Speculation>> {
  using base = text_decoder<stream_decoder>;
  using sequence_type = sequence<Cache, Speculation>;
  using pass_type = typename sequence_type::pass_type;

 public:
  using keep_type = keep_of<Cache>;

  /// Throws error::bad_config, error::out_of_memory. No allocation happens later but for prompts.
  stream_decoder(const llama_model& model, keep_type keep, const decoder_options& options = {},
                 const Speculation& speculation = {}) WEIR_TRY
      : base(model, options),
        pass_(model, base::options().stream.pass_rows(speculation.drafter.limits()), 1,
              base::options().stream.threads, base::options().stream.workers),
        stream_(model, std::move(keep),
                base::options().stream.for_cache(model, speculation.drafter.limits(),
                                                 &pass_.threads()),
                base::options().sample, {base::options().seed, base::options().stream_key},
                speculation, pass_.threads()) {}
  WEIR_OR_OUT_OF_MEMORY("stream_decoder")

  /// Bytes of cache, working memory, logits, sampler and drafts, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const decoder_options& options = {},
                                    const Speculation& speculation = {}) {
    const draft_limits drafts = speculation.drafter.limits();
    return checked_sum(
        pass_type::required_bytes(model, options.stream.pass_rows(drafts)),
        sequence_type::required_bytes(model, keep, options.stream.for_cache(model, drafts, nullptr),
                                      options.sample, speculation));
  }

  /// Logits `[vocabulary]` that the last sampled token was drawn from, before temperature.
  /// Throws error::bad_call if none was sampled since the last prompt.
  std::span<const float> logits() const {
    return taken_ > 0 ? stream_.logits_of(taken_ - 1) : stream_.logits();
  }
  /// Natural-log probability of `id` under those logits. O(vocabulary).
  double log_probability(token_id id) const {
    require_in_vocabulary(std::span(&id, 1), base::model().config.vocab_size);
    return weir::log_probability(logits(), id);
  }

  /// Starts anew, with an empty stream and the same randomness.
  void reset() {
    stream_.reset();
    taken_ = 0;
    base::reset_text();
  }

  /// Tokens of the stream so far, BOS and prompts included; the last sampled one follows them.
  std::uint64_t length() const { return stream_.length_after(taken_); }
  /// Bytes held by cache, working memory, logits, sampler and drafts.
  std::size_t bytes() const { return pass_.bytes() + stream_.bytes(); }
  /// While a loop runs, accepted drafts enter the cache when the last of them was handed out, or
  /// the loop is left.
  const Cache& cache() const { return stream_.cache(); }
  /// What was drafted, and came of it.
  const speculation_counters& counters() const { return stream_.counters(); }

 private:
  friend base;

  std::size_t waiting() const { return stream_.waiting(); }
  std::uint64_t room() const { return stream_.cache().room(); }
  void reserve(std::size_t tokens) { stream_.reserve(tokens); }
  void queue(std::span<const token_id> tokens) { stream_.queue(tokens); }
  bool has_token() const { return !stream_.emitted().empty(); }
  emitted_token take() {
    const emitted_token next = stream_.emitted()[taken_++];
    if (taken_ == stream_.emitted().size()) settle();
    return next;
  }
  /// One pass, over waiting tokens and drafts at up to `wanted` that follow.
  void go_on(std::size_t wanted) {
    pass_.begin();
    undo_unless_done round([this] { stream_.abandon(); });
    stream_.open(pass_, base::options().stream.chunk, wanted);
    const double seconds = pass_.run_all(stream_.layers_done());
    round.done();
    stream_.close(pass_, seconds, pass_.rows());
  }
  void leave() { settle(); }
  void cut() {}
  /// The stream goes on behind the token that was handed out last.
  void settle() {
    if (taken_ > 0) stream_.settle(taken_);
    taken_ = 0;
  }

  pass_type pass_;
  sequence_type stream_;
  std::size_t taken_ = 0;  // tokens of the last round that were handed out
};

}  // namespace weir::inline WEIR_TARGET
