// Several streams through one model, a pass at a time: rows of all of them share every reading of a
// weight. Streams differ in length, in what is guessed and in what of that is accepted; nothing is
// padded and nothing realigned, and each stream's tokens are those it would have alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/undo.hpp>
#include <weir/stream/sequence.hpp>
#include <weir/stream/stream_options.hpp>

namespace weir::inline WEIR_TARGET {

struct batch_options {
  std::size_t streams = 1;  ///< at once
  sampling sample = {};
  stream_options stream = {};  ///< chunk: most tokens of one stream that a pass feeds
};

/// What one stream of a batch is to do.
struct batch_request {
  std::size_t max_tokens = 0;  ///< to be generated; 0: until it is stopped
  std::uint64_t seed = 0;
  std::uint64_t stream_key = 0;
  std::vector<token_id> stop_at = {};  ///< tokens behind which it stops: an end of text
};

/// Tokens in, tokens out; for text see stream_decoder. The model must outlive it.
template <class Cache, class Speculation = no_speculation>
class stream_batch {
  using sequence_type = sequence<Cache, Speculation>;
  using pass_type = typename sequence_type::pass_type;

 public:
  using keep_type = keep_of<Cache>;

  /// Throws error::bad_config. Everything is allocated here, but for prompts.
  stream_batch(const llama_model& model, const keep_type& keep, const batch_options& options = {},
               const Speculation& speculation = {})
      : model_(&model),
        options_(options),
        pass_(model, pass_rows(options, speculation), options.streams, options.stream.threads,
              options.stream.workers) {
    error::require<error::bad_config>(options.streams > 0, "stream_batch: 0 streams");
    for (std::size_t i = 0; i < options.streams; ++i)
      places_.push_back({std::make_unique<sequence_type>(
          model, keep,
          options.stream.for_cache(model, speculation.drafter.limits(), &pass_.threads()),
          options.sample, random_source{}, speculation, pass_.threads())});
  }

  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const batch_options& options = {},
                                    const Speculation& speculation = {}) {
    return pass_type::required_bytes(model, pass_rows(options, speculation)) +
           options.streams *
               sequence_type::required_bytes(
                   model, keep,
                   options.stream.for_cache(model, speculation.drafter.limits(), nullptr),
                   options.sample, speculation);
  }

  /// Starts a stream with `prompt` (BOS included, where one is wanted) in place `i`, whatever was
  /// there. Throws error::bad_input for ids outside the vocabulary, an empty prompt or one that
  /// does not fit a cache that keeps everything.
  void start(std::size_t i, std::span<const token_id> prompt, batch_request request = {}) {
    require_in_vocabulary(prompt, model_->config.vocab_size);
    error::require<error::bad_input>(!prompt.empty(), "start: an empty prompt");
    place& p = places_.at(i);
    p.stream->reset({request.seed, request.stream_key});
    const std::uint64_t room = p.stream->cache().room();
    error::require<error::bad_input>(prompt.size() <= room, "start: ", prompt.size(),
                                     " tokens do not fit (room for ", room,
                                     "; this cache keeps everything)");
    p.stream->queue(prompt);
    p.request = std::move(request);
    p.made = 0;
    p.runs = true;
  }
  /// Ends stream `i`.
  void stop(std::size_t i) { places_.at(i).runs = false; }
  bool runs(std::size_t i) const { return places_.at(i).runs; }

  /// One pass over all running streams. `show(i, const emitted_token&) -> bool` gets their tokens,
  /// and returns false to end stream `i` behind this one. Returns false if no stream runs.
  ///
  /// What `show` throws passes through; the token that it was given counts as shown, and the next
  /// step begins with the tokens of other streams that were not. Throws error::not_finite, naming
  /// the layer, for a stream of whose next token the model says nothing: it has ended, and the
  /// others go on.
  template <class Show>
  bool step(Show&& show) {
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (places_[i].runs) hand_out(i, show);
    pass_.begin();
    std::size_t done = 0;
    bool any = false;
    undo_unless_done rounds([this] {
      for (place& p : places_) p.stream->abandon();
    });
    for (place& p : places_) {
      if (!p.runs) continue;
      p.stream->open(pass_, options_.stream.chunk, p.left());
      done = p.stream->layers_done();
      any = true;
    }
    rounds.done();
    if (!any) return false;
    const double seconds = pass_.run_all(done);
    close(seconds);
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (places_[i].runs) hand_out(i, show);
    return true;
  }

  const sequence_type& stream(std::size_t i) const { return *places_.at(i).stream; }
  std::size_t bytes() const {
    std::size_t n = pass_.bytes();
    for (const place& p : places_) n += p.stream->bytes();
    return n;
  }

 private:
  struct place {
    std::unique_ptr<sequence_type> stream;
    batch_request request = {};
    std::size_t made = 0;
    bool runs = false;

    std::size_t left() const {
      return request.max_tokens == 0 ? static_cast<std::size_t>(-1) : request.max_tokens - made;
    }
  };

  static std::size_t pass_rows(const batch_options& o, const Speculation& s) {
    return o.streams * (o.stream.chunk + s.drafter.limits().rows());
  }
  /// Draws what follows for every running stream, whatever becomes of one of them.
  void close(double seconds) {
    std::string problem;
    for (place& p : places_) {
      if (!p.runs) continue;
      error::attempt<error::not_finite>([&] { p.stream->close(pass_, seconds, pass_.rows()); },
                                        [&](const error::not_finite& e) {
                                          p.runs = false;
                                          if (problem.empty()) problem = e.what();
                                        });
    }
    error::require<error::not_finite>(problem.empty(), problem);
  }
  /// Shows the tokens that stream `i` drew and settles its round, also where `show` throws: those
  /// not shown are drawn again.
  template <class Show>
  void hand_out(std::size_t i, Show& show) {
    place& p = places_[i];
    std::size_t taken = 0;
    bool last = false;
    const undo_unless_done settled([&] {
      if (last) p.runs = false;
      p.stream->settle(taken);
    });
    while (p.runs && taken < p.stream->emitted().size()) {
      const emitted_token token = p.stream->emitted()[taken++];
      ++p.made;
      const auto& ends = p.request.stop_at;
      last = p.left() == 0 || std::find(ends.begin(), ends.end(), token.id) != ends.end();
      if (!show(i, token)) last = true;
      if (last) break;
    }
  }

  const llama_model* model_;
  batch_options options_;
  pass_type pass_;
  std::vector<place> places_;
};

}  // namespace weir::inline WEIR_TARGET
