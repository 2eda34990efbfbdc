// Several streams through one model, a pass at a time: rows of all of them share every reading of a
// weight. Streams differ in length, in what is drafted and in what of that is accepted; nothing is
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

#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/undo.hpp>
#include <weir/stream/sequence.hpp>
#include <weir/stream/stream_options.hpp>

namespace weir::inline WEIR_TARGET {

/// Most streams of one batch.
inline constexpr std::size_t max_streams = std::size_t{1} << 20;

struct batch_options {
  std::size_t streams = 1;  ///< at once, at most `max_streams`
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

  /// Throws error::bad_config, error::out_of_memory. Everything is allocated here, but for prompts.
  stream_batch(const llama_model& model, const keep_type& keep, const batch_options& options = {},
               const Speculation& speculation = {}) WEIR_TRY
      : model_(&model),
        options_(options),
        pass_(model, pass_rows(options, speculation), options.streams, options.stream.threads,
              options.stream.workers) {
    places_.reserve(options.streams);
    for (std::size_t i = 0; i < options.streams; ++i)
      places_.push_back({std::make_unique<sequence_type>(
          model, keep,
          options.stream.for_cache(model, speculation.drafter.limits(), &pass_.threads()),
          options.sample, random_source{}, speculation, pass_.threads())});
  }
  WEIR_OR_OUT_OF_MEMORY("stream_batch")

  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const batch_options& options = {},
                                    const Speculation& speculation = {}) {
    const std::size_t of_pass = pass_type::required_bytes(model, pass_rows(options, speculation));
    const std::size_t one = sequence_type::required_bytes(
        model, keep, options.stream.for_cache(model, speculation.drafter.limits(), nullptr),
        options.sample, speculation);
    return checked_sum(of_pass, checked_product(options.streams, one));
  }

  /// Starts a stream with `prompt` (BOS included, where one is wanted) in place `i`, whatever was
  /// there. Throws error::bad_input for a place that there is not, ids outside the vocabulary, an
  /// empty prompt or one that does not fit a cache that keeps everything; then the stream that was
  /// there goes on.
  void start(std::size_t i, std::span<const token_id> prompt, batch_request request = {}) {
    place& p = places_[checked("start", i)];
    require_in_vocabulary(prompt, model_->config.vocab_size);
    error::require<error::bad_input>(!prompt.empty(), "start: an empty prompt");
    const Cache& cache = p.stream->cache();
    const std::uint64_t room = cache.room() + (cache.length() - options_.stream.first_index);
    error::require<error::bad_input>(prompt.size() <= room, "start: ", prompt.size(),
                                     " tokens do not fit (room for ", room,
                                     "; this cache keeps everything)");
    p.stream->reset({request.seed, request.stream_key}, prompt);
    p.request = std::move(request);
    p.made = 0;
    p.runs = true;
  }
  /// Ends stream `i`. Throws error::bad_input for one that there is not, as `runs` and `stream` do.
  void stop(std::size_t i) { places_[checked("stop", i)].runs = false; }
  bool runs(std::size_t i) const { return places_[checked("runs", i)].runs; }

  /// One pass over all running streams. `show(i, const emitted_token&) -> bool` gets their tokens,
  /// and returns false to end stream `i` behind this one. Returns false if no stream runs.
  ///
  /// What `show` throws passes through; the token that it was given counts as shown, and the next
  /// step begins with the tokens of other streams that were not. Throws error::not_finite, naming
  /// the layer, for a stream of whose next token the model says nothing: it has ended, and the
  /// others go on.
  template <class Show>
  bool step(Show&& show) {
    require_callable("step", show);
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
    const double seconds = any ? pass_.run_all(done) : 0;
    rounds.done();
    if (!any) return false;
    close(seconds);
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (places_[i].runs) hand_out(i, show);
    return true;
  }

  const sequence_type& stream(std::size_t i) const { return *places_[checked("stream", i)].stream; }
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
    error::require<error::bad_config>(o.streams > 0 && o.streams <= max_streams,
                                      "batch_options.streams: ", o.streams, " (expected 1 to ",
                                      max_streams, ")");
    return o.streams * o.stream.pass_rows(s.drafter.limits());
  }
  std::size_t checked(const char* call, std::size_t i) const {
    error::require<error::bad_input>(i < places_.size(), call, ": stream ", i, " (expected 0 to ",
                                     places_.size() - 1, ")");
    return i;
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
    const auto settle = [&] {
      if (last) p.runs = false;
      undo_unless_done stream([&p] { p.runs = false; });
      p.stream->settle(taken);
      stream.done();
    };
    // Where `show` throws, what it threw is what passes: a stream that cannot be settled then ends.
    undo_unless_done thrown(
        [&] { error::attempt<error::base>(settle, [](const error::base&) {}); });
    while (p.runs && taken < p.stream->emitted().size()) {
      const emitted_token token = p.stream->emitted()[taken++];
      ++p.made;
      const auto& ends = p.request.stop_at;
      last = p.left() == 0 || std::find(ends.begin(), ends.end(), token.id) != ends.end();
      if (!show(i, token)) last = true;
      if (last) break;
    }
    thrown.done();
    settle();
  }

  const llama_model* model_;
  batch_options options_;
  pass_type pass_;
  std::vector<place> places_;
};

}  // namespace weir::inline WEIR_TARGET
