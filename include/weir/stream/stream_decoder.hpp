// The decoder: text in, text out, a loop away.
//
//   for (std::string_view piece : decoder.generate("Once upon a time")) std::cout << piece;
#pragma once

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
#include <weir/stream/stop_matcher.hpp>
#include <weir/stream/token_stream.hpp>

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
template <class Cache>
class stream_decoder {
 public:
  using keep_type = keep_of<Cache>;

  /// Throws error::bad_config. No allocation happens later but for prompts.
  stream_decoder(const llama_model& model, keep_type keep, decoder_options options = {})
      : model_(&model),
        options_(std::move(options)),
        stream_(model, std::move(keep), options_.stream),
        sampler_(options_.sample, model.config.vocab_size),
        random_{options_.seed, options_.stream_key},
        text_(model.tokenizer),
        stops_(options_.stop, longest_text(model.tokenizer)) {
    shown_.reserve(longest_text(model.tokenizer));
  }

  /// Bytes of cache, working memory, logits and sampler, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const decoder_options& options = {}) {
    return token_stream<Cache>::required_bytes(model, keep, options.stream) +
           sampler::required_bytes(model.config.vocab_size);
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
  std::span<const float> logits() { return stream_.logits(); }
  /// Natural-log probability of `id` under those logits. O(vocabulary).
  double log_probability(token_id id) {
    require_in_vocabulary(std::span(&id, 1), model_->config.vocab_size);
    return weir::log_probability(stream_.logits(), id);
  }

  /// Starts anew, with an empty stream and the same randomness.
  void reset() {
    stream_.reset();
    queue_.clear();
    queued_ = 0;
    text_.reset();
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }

  /// Tokens of the stream so far, BOS and prompts included; the last sampled one follows them.
  std::uint64_t length() const { return stream_.length(); }
  /// Bytes held by cache, working memory, logits and sampler.
  std::size_t bytes() const { return stream_.bytes() + sampler_.bytes(); }
  const Cache& cache() const { return stream_.cache(); }

 private:
  static std::size_t longest_text(const tokenizer& t) { return (t.longest_piece() + 16) * 3; }

  bool is_new() const {
    return stream_.length() == options_.stream.first_index && queued_ == queue_.size();
  }

  /// Queues the prompt's tokens behind those not fed yet.
  void accept(std::string_view prompt, const generate_options& options) {
    const bool starts = is_new();
    const bool bos = starts && model_->tokenizer.bos().has_value();
    const std::vector<token_id> tokens = model_->tokenizer.encode(prompt, bos);
    const std::size_t waiting = queue_.size() - queued_;
    error::require<error::bad_input>(!starts || !tokens.empty(),
                                     "generate: an empty prompt and a vocabulary without BOS "
                                     "(expected something to begin with)");
    require_room(waiting + tokens.size(), options);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(queued_));
    queued_ = 0;
    queue_.insert(queue_.end(), tokens.begin(), tokens.end());
    text_.reset(starts && prompt.empty());
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }
  void require_resumable(const generate_options& options) {
    error::require<error::bad_call>(!is_new(), "resume: the stream is empty (expected generate)");
    require_room(queue_.size() - queued_, options);
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

  /// Feeds what waits, samples one token and queues it. False if the generation is over.
  bool advance(const generate_options& options, std::size_t& made, token_event& event) {
    if (finished_ != finish_reason::unfinished) return false;
    if (options.max_tokens > 0 && made >= options.max_tokens) return end(finish_reason::max_tokens);
    queued_ += stream_.feed(std::span(queue_).subspan(queued_), options.cancel);
    if (queued_ < queue_.size() || options.cancel.stop_requested())
      return end(finish_reason::cancelled);
    const std::uint64_t index = stream_.length();
    const token_id id = sampler_(stream_.logits(), random_, index);
    queue_.assign(1, id);  // fed when the next one is asked for
    queued_ = 0;
    ++made;
    shown_.assign(stops_.push(text_.push(id)));
    if (stops_.stopped()) finished_ = finish_reason::stop_string;
    if (options_.stop_at_eos && model_->tokenizer.eos() == id) finished_ = finish_reason::eos;
    // The last token brings what was held back in case it began a stop string.
    if (finished_ == finish_reason::eos || made == options.max_tokens) shown_ += stops_.flush();
    event = {id, shown_, index};
    return true;
  }
  bool end(finish_reason why) {
    finished_ = why;
    return false;
  }

  template <class Show>
  finish_reason run(Show& show, const generate_options& options) {
    std::size_t made = 0;
    for (token_event event; advance(options, made, event);)
      if (!show(std::as_const(event))) return finished_ = finish_reason::callback;
    return finished_;
  }

  const llama_model* model_;
  decoder_options options_;
  token_stream<Cache> stream_;
  sampler sampler_;
  random_source random_;
  incremental_decoder text_;
  stop_matcher stops_;
  std::string shown_;
  std::vector<token_id> queue_;  // tokens of the stream that were not fed yet, from `queued_` on
  std::size_t queued_ = 0;
  finish_reason finished_ = finish_reason::unfinished;
};

}  // namespace weir
