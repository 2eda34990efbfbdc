// Text in, text out: the part of decoders that does not ask where tokens come from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/load_model.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/stream/stop_matcher.hpp>
#include <weir/stream/stream_options.hpp>

namespace weir::inline WEIR_TARGET {

struct decoder_options {
  sampling sample = {};
  std::uint64_t seed = 0;
  std::uint64_t stream_key = 0;  ///< tells streams with one seed apart
  text_marks marks = {};         ///< BOS before the first prompt; EOS and the blank of each
  bool stop_at_eos = false;      ///< at tokenizer::ends_text; false: an infinite stream goes on
  std::vector<token_id> end_tokens = {};  ///< more tokens that end a generation
  std::vector<std::string> stop = {};     ///< text that ends a generation; never shown
  stream_options stream = {};
};

/// Why a generation ended.
enum class finish_reason : std::uint8_t {
  unfinished,   ///< it has not: the loop was left, or is still running
  max_tokens,   ///< as many tokens as asked for
  eos,          ///< the model ended the text
  stop_string,  ///< one of the stop strings came up
  cancelled,    ///< the stop token was triggered
  callback,     ///< the callback returned false, at a token that ended nothing anyway
};

/// One generation's limits.
struct generate_options {
  std::size_t max_tokens = 0;   ///< 0: for ever
  std::stop_token cancel = {};  ///< noticed between prefill chunks and between tokens
  /// Text that may begin a stop string stays held back at the end too: for `resume`, or
  /// `held_text`.
  bool keep_held = false;
};

/// A sampled token.
struct token_event {
  token_id id;
  std::string_view text;  ///< what may be shown now: may be empty, never half a character
  std::uint64_t index;    ///< the token's stream index
};

/// Generations of a decoder `Derived`, which makes tokens:
///   queue(tokens), waiting()  tokens that the stream is to be fed, and how many of them, and of
///                             those taken, it was not
///   reserve(n)                memory for n tokens that wait
///   has_token(), take()       tokens that follow: whether any is ready, and an emitted_token
///   go_on(wanted)             a bit of the work towards more of them, where none is ready
///   leave()                   a generation ended, or was left, behind the token taken last
///   cut()                     what was not taken will never be: the stream goes another way
///   length(), room()          the stream's
template <class Derived>
class text_decoder {
 public:
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

    /// What cannot be settled now is told by the call that follows.
    ~generation() {
      error::attempt<error::base>([this] { decoder_->self().leave(); }, [](const error::base&) {});
    }

   private:
    friend text_decoder;
    generation(text_decoder& decoder, generate_options options)
        : decoder_(&decoder), options_(options) {}

    /// On to the next piece that is not empty. The last one is what was held back, if the
    /// generation was cancelled.
    void next() {
      for (piece_ = {}; !done_ && piece_.empty();) {
        token_event event;
        if (!over_) over_ = !decoder_->advance(options_, made_, event);
        if (!over_) {
          piece_ = event.text;
        } else {
          if (!options_.keep_held) piece_ = decoder_->held_text();
          done_ = piece_.empty();
        }
      }
    }

    text_decoder* decoder_;
    generate_options options_;
    std::string_view piece_;
    std::size_t made_ = 0;
    bool over_ = false, done_ = false;
  };

  /// Appends `prompt` to the stream (behind BOS if the stream is new) and generates behind it.
  /// A prompt longer than the budget streams through it. Throws error::bad_input, and changes
  /// nothing, if the cache keeps everything and prompt plus max_tokens do not fit.
  generation generate(std::string_view prompt, generate_options options = {}) {
    accept(encoded(prompt), options);
    return generation(*this, std::move(options));
  }
  /// The same behind tokens, which are taken as they are: no BOS or EOS is put to them. Throws
  /// error::bad_input also for an id outside the vocabulary.
  generation generate(std::span<const token_id> tokens, generate_options options = {}) {
    accept(tokens, options);
    return generation(*this, std::move(options));
  }
  /// Goes on where the last generation ended or was left, or was cancelled in its prompt. Throws
  /// error::bad_call if the stream is empty, error::bad_input as `generate` does.
  generation resume(generate_options options = {}) {
    require_resumable(options);
    return generation(*this, std::move(options));
  }

  /// The same, token by token: `show(const token_event&)` returns false to stop behind that token.
  /// Throws error::bad_input, too, for a null function.
  template <class Show>
    requires std::is_invocable_r_v<bool, Show&, const token_event&>
  finish_reason generate(std::string_view prompt, Show&& show, generate_options options = {}) {
    require_callable("generate", show);
    accept(encoded(prompt), options);
    return run(show, options);
  }
  template <class Show>
    requires std::is_invocable_r_v<bool, Show&, const token_event&>
  finish_reason generate(std::span<const token_id> tokens, Show&& show,
                         generate_options options = {}) {
    require_callable("generate", show);
    accept(tokens, options);
    return run(show, options);
  }
  template <class Show>
    requires std::is_invocable_r_v<bool, Show&, const token_event&>
  finish_reason resume(Show&& show, generate_options options = {}) {
    require_callable("resume", show);
    require_resumable(options);
    return run(show, options);
  }

  /// Why the last generation ended.
  finish_reason finished() const { return finished_; }

  /// Text that was held back because it may begin a stop string, and was not shown when the
  /// generation was cancelled, or left by a callback, or asked to keep it; empty otherwise. It
  /// counts as shown then: a generation that is resumed does not show it again, and still ends
  /// where the stop string is complete. Valid until the next call.
  std::string_view held_text() { return shown_.assign(stops_.show_held()); }

 protected:
  /// Throws error::bad_config for an empty stop string or an end token outside the vocabulary.
  text_decoder(const llama_model& model, const decoder_options& options)
      : model_(&model),
        options_(options),
        text_(model.tokenizer),
        stops_(options_.stop, longest_text(model.tokenizer)) {
    shown_.reserve(longest_text(model.tokenizer));
    for (const token_id id : options_.end_tokens)
      error::require<error::bad_config>(
          id >= 0 && static_cast<std::size_t>(id) < model.tokenizer.vocab_size(), "end token ", id,
          " (expected 0 to ", model.tokenizer.vocab_size() - 1, ")");
  }

  const llama_model& model() const { return *model_; }
  const decoder_options& options() const { return options_; }
  /// True for a token that ends a generation.
  bool ends(token_id id) const {
    return (options_.stop_at_eos && model_->tokenizer.ends_text(id)) ||
           std::ranges::find(options_.end_tokens, id) != options_.end_tokens.end();
  }
  /// Forgets the text.
  void reset_text() {
    text_.reset();
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }

 private:
  static std::size_t longest_text(const tokenizer& t) { return (t.longest_piece() + 16) * 3; }

  Derived& self() { return static_cast<Derived&>(*this); }
  const Derived& self() const { return static_cast<const Derived&>(*this); }

  bool is_new() const {
    return self().length() == options_.stream.first_index && self().waiting() == 0;
  }

  std::vector<token_id> encoded(std::string_view prompt) {
    self().leave();
    text_marks marks = options_.marks;
    if (!is_new()) marks.bos = mark::off;
    return model_->tokenizer.encode(prompt, marks);
  }
  /// Queues the prompt's tokens behind those not fed yet.
  void accept(std::span<const token_id> tokens, const generate_options& options) {
    self().leave();
    const bool starts = is_new();
    error::require<error::bad_input>(!starts || !tokens.empty(),
                                     "generate: an empty prompt without BOS (expected something to "
                                     "begin with)");
    model_->tokenizer.require_in_vocabulary(tokens);
    require_room(self().waiting() + tokens.size(), options);
    self().reserve(self().waiting() + tokens.size());
    self().cut();
    self().queue(tokens);
    bool at_start = starts;
    for (std::size_t i = 0; at_start && i < tokens.size(); ++i)
      model_->tokenizer.text_in_stream(tokens[i], at_start);
    text_.reset(at_start);
    stops_.reset();
    finished_ = finish_reason::unfinished;
  }
  void require_resumable(const generate_options& options) {
    error::require<error::bad_call>(!is_new(), "resume: the stream is empty (expected generate)");
    self().leave();
    require_room(self().waiting(), options);
    finished_ = finish_reason::unfinished;
  }
  /// The last token of a generation is sampled, not fed.
  void require_room(std::size_t waiting, const generate_options& options) const {
    const std::uint64_t room = self().room();
    if (room >= std::uint64_t{1} << 62) return;
    error::require<error::bad_input>(
        options.max_tokens > 0 && waiting <= room && options.max_tokens - 1 <= room - waiting,
        "generate: ", waiting, " tokens to feed and ",
        options.max_tokens > 0 ? std::to_string(options.max_tokens) : std::string("endlessly many"),
        " to generate do not fit (room for ", room, "; this cache keeps everything)");
  }

  /// Hands out the next token, once there is one. False if the generation is over.
  bool advance(const generate_options& options, std::size_t& made, token_event& event) {
    if (finished_ != finish_reason::unfinished) return false;
    if (options.max_tokens > 0 && made >= options.max_tokens) return end(finish_reason::max_tokens);
    while (!self().has_token()) {
      if (options.cancel.stop_requested()) return end(finish_reason::cancelled);
      self().go_on(options.max_tokens > 0 ? options.max_tokens - made
                                          : static_cast<std::size_t>(-1));
    }
    const auto [id, index] = self().take();
    ++made;
    shown_.assign(stops_.push(text_.push(id)));
    if (stops_.stopped()) finished_ = finish_reason::stop_string;
    if (ends(id)) finished_ = finish_reason::eos;
    // The last token brings what was held back in case it began a stop string.
    if (finished_ == finish_reason::eos || made == options.max_tokens) {
      if (!options.keep_held) shown_ += stops_.show_held();
    }
    if (finished_ != finish_reason::unfinished || made == options.max_tokens) self().leave();
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
      if (!show(std::as_const(event))) {
        self().leave();
        if (finished_ != finish_reason::unfinished) break;  // the token has ended it anyway
        return finished_ =
                   made == options.max_tokens ? finish_reason::max_tokens : finish_reason::callback;
      }
    return finished_;
  }

  const llama_model* model_;
  decoder_options options_;
  incremental_decoder text_;
  stop_matcher stops_;
  std::string shown_;
  finish_reason finished_ = finish_reason::unfinished;
};

}  // namespace weir::inline WEIR_TARGET
