// The decoder: text in, text out, a loop away.
//
//   for (std::string_view piece : decoder.generate("Once upon a time")) std::cout << piece;
#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/model/incremental_decoder.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/stream/sequence.hpp>
#include <weir/stream/stop_matcher.hpp>
#include <weir/stream/stream_options.hpp>

namespace weir {

struct decoder_options {
  sampling sample = {};
  std::uint64_t seed = 0;
  std::uint64_t stream_key = 0;        ///< tells streams with one seed apart
  bool stop_at_eos = false;            ///< false: an infinite stream goes on
  std::vector<std::string> stop = {};  ///< text that ends a generation; never shown
  stream_options stream = {};
};

/// Why a generation ended.
enum class finish_reason : std::uint8_t {
  unfinished,   ///< it has not: the loop was left, or is still running
  max_tokens,   ///< as many tokens as asked for
  eos,          ///< the model ended the text
  stop_string,  ///< one of the stop strings came up
  cancelled,    ///< the stop token was triggered
  callback,     ///< the callback returned false
};

/// One generation's limits.
struct generate_options {
  std::size_t max_tokens = 0;   ///< 0: for ever
  std::stop_token cancel = {};  ///< noticed between prefill chunks and between tokens
};

/// A sampled token.
struct token_event {
  token_id id;
  std::string_view text;  ///< what may be shown now: may be empty, never half a character
  std::uint64_t index;    ///< the token's stream index
};

/// A stream of text through a model. What it generates depends on the model, the policies, the
/// options and the prompts alone. The model must outlive it; it must not move while in use.
template <class Cache, class Speculation = no_speculation>
class stream_decoder {
  using sequence_type = sequence<Cache, Speculation>;
  using pass_type = typename sequence_type::pass_type;

 public:
  using keep_type = keep_of<Cache>;

  /// Throws error::bad_config. No allocation happens later but for prompts.
  stream_decoder(const llama_model& model, keep_type keep, decoder_options options = {},
                 const Speculation& speculation = {})
      : model_(&model),
        options_(std::move(options)),
        pass_(model, options_.stream.chunk + speculation.drafter.limits().nodes, 1,
              options_.stream.threads, options_.stream.workers),
        stream_(model, std::move(keep),
                options_.stream.for_cache(speculation.drafter.limits(), &pass_.threads()),
                options_.sample, {options_.seed, options_.stream_key}, speculation,
                pass_.threads()),
        text_(model.tokenizer),
        stops_(options_.stop, longest_text(model.tokenizer)) {
    shown_.reserve(longest_text(model.tokenizer));
  }

  /// Bytes of cache, working memory, logits, sampler and guesses, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const decoder_options& options = {},
                                    const Speculation& speculation = {}) {
    const draft_limits drafts = speculation.drafter.limits();
    return pass_type::required_bytes(model, options.stream.chunk + drafts.nodes) +
           sequence_type::required_bytes(model, keep, options.stream.for_cache(drafts, nullptr),
                                         options.sample, speculation);
  }

  /// A generation as a range of text pieces. Leaving the loop early keeps everything; `resume`
  /// goes on where it was left.
  class generation {
   public:
    struct sentinel {};
    class iterator {
     public:
      using value_type = std::string_view;
      using difference_type = std::ptrdiff_t;
      explicit iterator(generation& g) : generation_(&g) {}
      std::string_view operator*() const { return generation_->piece_; }
      iterator& operator++() {
        generation_->next();
        return *this;
      }
      void operator++(int) { generation_->next(); }
      bool operator==(sentinel) const { return generation_->done_; }

     private:
      generation* generation_;
    };

    /// Makes the first piece. Call once.
    iterator begin() {
      next();
      return iterator(*this);
    }
    static sentinel end() { return {}; }

    ~generation() { decoder_->settle(); }

   private:
    friend stream_decoder;
    generation(stream_decoder& decoder, generate_options options)
        : decoder_(&decoder), options_(std::move(options)) {}

    /// On to the next piece that is not empty.
    void next() {
      for (piece_ = {}; !done_ && piece_.empty();) {
        token_event event;
        done_ = !decoder_->advance(options_, made_, event);
        if (!done_) piece_ = event.text;
      }
    }

    stream_decoder* decoder_;
    generate_options options_;
    std::string_view piece_;
    std::size_t made_ = 0;
    bool done_ = false;
  };

  /// Appends `prompt` to the stream (behind BOS if the stream is new) and generates behind it.
  /// A prompt longer than the budget streams through it. Throws error::bad_input, and changes
  /// nothing, if the cache keeps everything and prompt plus max_tokens do not fit.
  generation generate(std::string_view prompt, generate_options options = {}) {
    accept(prompt, options);
    return generation(*this, std::move(options));
  }
  /// Goes on where the last generation ended or was left, or was cancelled in its prompt. Throws
  /// error::bad_call if the stream is empty, error::bad_input as `generate` does.
  generation resume(generate_options options = {}) {
    require_resumable(options);
    return generation(*this, std::move(options));
  }

  /// The same, token by token: `show(const token_event&)` returns false to stop behind that token.
  template <class Show>
    requires std::is_invocable_r_v<bool, Show&, const token_event&>
  finish_reason generate(std::string_view prompt, Show&& show, generate_options options = {}) {
    accept(prompt, options);
    return run(show, options);
  }
  template <class Show>
    requires std::is_invocable_r_v<bool, Show&, const token_event&>
  finish_reason resume(Show&& show, generate_options options = {}) {
    require_resumable(options);
    return run(show, options);
  }

  /// Why the last generation ended.
  finish_reason finished() const { return finished_; }
  /// Logits `[vocabulary]` that the last sampled token was drawn from, before temperature.
  /// Throws error::bad_call if none was sampled since the last prompt.
  std::span<const float> logits() const {
    return taken_ > 0 ? stream_.logits_of(taken_ - 1) : stream_.logits();
  }
  /// Natural-log probability of `id` under those logits. O(vocabulary).
  double log_probability(token_id id) const {
    require_in_vocabulary(std::span(&id, 1), model_->config.vocab_size);
    return weir::log_probability(logits(), id);
  }

  /// Starts anew, with an empty stream and the same randomness.
  void reset() {
    stream_.reset();
    taken_ = 0;
    text_.reset();
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }

  /// Tokens of the stream so far, BOS and prompts included; the last sampled one follows them.
  std::uint64_t length() const { return stream_.length_after(taken_); }
  /// Bytes held by cache, working memory, logits, sampler and guesses.
  std::size_t bytes() const { return pass_.bytes() + stream_.bytes(); }
  /// While a loop runs, accepted guesses enter the cache when the last of them was handed out, or
  /// the loop is left.
  const Cache& cache() const { return stream_.cache(); }
  /// What was guessed, and came of it.
  const speculation_counters& counters() const { return stream_.counters(); }

 private:
  static std::size_t longest_text(const tokenizer& t) { return (t.longest_piece() + 16) * 3; }

  bool is_new() const { return length() == options_.stream.first_index && stream_.waiting() == 0; }

  /// Queues the prompt's tokens behind those not fed yet.
  void accept(std::string_view prompt, const generate_options& options) {
    settle();
    const bool starts = is_new();
    const bool bos = starts && model_->tokenizer.bos().has_value();
    const std::vector<token_id> tokens = model_->tokenizer.encode(prompt, bos);
    error::require<error::bad_input>(!starts || !tokens.empty(),
                                     "generate: an empty prompt and a vocabulary without BOS "
                                     "(expected something to begin with)");
    require_room(stream_.waiting() + tokens.size(), options);
    stream_.queue(tokens);
    text_.reset(starts && prompt.empty());
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }
  void require_resumable(const generate_options& options) {
    error::require<error::bad_call>(!is_new(), "resume: the stream is empty (expected generate)");
    settle();
    require_room(stream_.waiting(), options);
    finished_ = finish_reason::unfinished;
  }
  /// The last token of a generation is sampled, not fed.
  void require_room(std::size_t waiting, const generate_options& options) const {
    const std::uint64_t room = stream_.cache().room();
    if (room >= std::uint64_t{1} << 62) return;
    error::require<error::bad_input>(
        options.max_tokens > 0 && waiting <= room && options.max_tokens - 1 <= room - waiting,
        "generate: ", waiting, " tokens to feed and ",
        options.max_tokens > 0 ? std::to_string(options.max_tokens) : std::string("endlessly many"),
        " to generate do not fit (room for ", room, "; this cache keeps everything)");
  }

  /// Hands out the next token, after a round if none is left of the last one. False if the
  /// generation is over.
  bool advance(const generate_options& options, std::size_t& made, token_event& event) {
    if (finished_ != finish_reason::unfinished) return false;
    if (options.max_tokens > 0 && made >= options.max_tokens) return end(finish_reason::max_tokens);
    while (stream_.emitted().empty()) {
      if (options.cancel.stop_requested()) return end(finish_reason::cancelled);
      round(options.max_tokens > 0 ? options.max_tokens - made : static_cast<std::size_t>(-1));
    }
    const auto [id, index] = stream_.emitted()[taken_++];
    ++made;
    shown_.assign(stops_.push(text_.push(id)));
    if (stops_.stopped()) finished_ = finish_reason::stop_string;
    if (options_.stop_at_eos && model_->tokenizer.eos() == id) finished_ = finish_reason::eos;
    // The last token brings what was held back in case it began a stop string.
    if (finished_ == finish_reason::eos || made == options.max_tokens) shown_ += stops_.flush();
    if (taken_ == stream_.emitted().size() || finished_ != finish_reason::unfinished ||
        made == options.max_tokens)
      settle();
    event = {id, shown_, index};
    return true;
  }
  /// One pass, over waiting tokens and guesses at up to `wanted` that follow.
  void round(std::size_t wanted) {
    pass_.begin();
    stream_.open(pass_, options_.stream.chunk, wanted);
    const auto start = std::chrono::steady_clock::now();
    pass_.run(stream_.layers_done(), pass_.layers(), 0, pass_.rows());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    stream_.close(pass_, took.count(), pass_.rows());
  }
  /// The stream goes on behind the token that was handed out last.
  void settle() {
    if (taken_ > 0) stream_.settle(taken_);
    taken_ = 0;
  }
  bool end(finish_reason why) {
    finished_ = why;
    return false;
  }

  template <class Show>
  finish_reason run(Show& show, const generate_options& options) {
    std::size_t made = 0;
    for (token_event event; advance(options, made, event);)
      if (!show(std::as_const(event))) {
        settle();
        return finished_ = finish_reason::callback;
      }
    return finished_;
  }

  const llama_model* model_;
  decoder_options options_;
  pass_type pass_;
  sequence_type stream_;
  incremental_decoder text_;
  stop_matcher stops_;
  std::string shown_;
  std::size_t taken_ = 0;  // tokens of the last round that were handed out
  finish_reason finished_ = finish_reason::unfinished;
};

}  // namespace weir
