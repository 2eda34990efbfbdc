// A decoder that is cautious: where the model is unsure of the next token, it goes on in several
// ways at once, each on a fork of the stream, and takes the one it was surest of as a whole.
//
//   weir::cautious_decoder<cache> decoder(model, keep);      cache: layouts::paged
//   for (std::string_view piece : decoder.generate("Once upon a time")) std::cout << piece;
//
// A decoding distribution of its own (sampling/cautious.hpp): neither lossless nor an approximation
// of sampling. It is as reproducible as sampling: what comes depends on the model, the policies,
// the options and the prompts alone, and trials that were not taken leave no trace.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/core/undo.hpp>
#include <weir/sampling/cautious.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/stream/sequence.hpp>
#include <weir/stream/shared_pass.hpp>
#include <weir/stream/stream_options.hpp>
#include <weir/stream/tell_fed.hpp>
#include <weir/stream/text_decoder.hpp>

namespace weir::inline WEIR_TARGET {

/// A way on that was tried.
struct cautious_trial {
  random_source random;  ///< what it drew with, as a stream of its own would
  std::vector<token_id> said;
  trial_score score;
};

struct cautious_counters {
  std::uint64_t points = 0;  ///< places where it was decided how to go on
  std::uint64_t tried = 0;   ///< of them, those with more than one trial
  std::uint64_t trials = 0;  ///< in all
  std::uint64_t tokens = 0;  ///< that trials said
  std::uint64_t passes = 0;  ///< through the model, prompts included
};

namespace detail {

template <class Cache>
inline constexpr bool can_fork = std::is_copy_constructible_v<Cache>;

/// Apart, so that the sentence is all that compilers have to say.
template <class Cache>
struct forking {
  static_assert(can_fork<Cache>,
                "weir: cautious_decoder goes on in several ways on forks of the stream: use a "
                "cache with layouts::paged");
};

}  // namespace detail

/// A stream of text through a model. All trials of a point go through the model together, a token
/// each a pass; one ends with a token whose text ends with a mark, with the end of the text where
/// that ends a generation, or when it is as long as a trial may be or as the cache has room for.
/// Trials run on behind max_tokens, and stop strings are looked for in what was taken, so that a
/// generation that was cut short and resumed is the one that was not. The model must outlive it; it
/// must not move while in use.
template <class Cache>
class cautious_decoder : public text_decoder<cautious_decoder<Cache>> {
  static_assert(sizeof(detail::forking<Cache>) > 0);
  using base = text_decoder<cautious_decoder>;
  using step_type = typename Cache::step;
  using pass_type = shared_pass<step_type>;
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

 public:
  using keep_type = keep_of<Cache>;

  /// Throws error::bad_config, error::out_of_memory. No allocation happens later but for prompts.
  cautious_decoder(const llama_model& model, const keep_type& keep,
                   const decoder_options& options = {}, const cautious& how = {}) WEIR_TRY
      : base(model, options),
        how_((how.validate(), how)),
        random_{base::options().seed, base::options().stream_key},
        pass_(model, pass_rows(base::options(), how), how.most, base::options().stream.threads,
              base::options().stream.workers),
        stream_(std::make_unique<Cache>(shape_of(model.config), keep,
                                        options_for(model, keep, base::options(), how,
                                                    &pass_.threads()))),
        sampler_(base::options().sample, model.config.vocab_size, how.longest),
        ends_(tokens_that_end(model.tokenizer, how.marks)),
        rows_(base::options().stream.chunk),
        logits_((1 + how.most) * model.config.vocab_size),
        trials_(how.most),
        states_(how.most) {
    for (std::size_t i = 0; i < forks(how); ++i) forks_.push_back(fork_of(*stream_));
    for (cautious_trial& t : trials_) t.said.reserve(how.longest);
    said_.reserve(how.longest);
    waiting_.reserve(how.longest);
  }
  WEIR_OR_OUT_OF_MEMORY("cautious_decoder")

  /// Bytes of caches, working memory, logits, sampler and trials, before anything is allocated.
  static std::size_t required_bytes(const llama_model& model, const keep_type& keep,
                                    const decoder_options& options = {}, const cautious& how = {}) {
    how.validate();
    const cache_options o = options_for(model, keep, options, how, nullptr);
    std::size_t of_forks = 0;
    if constexpr (detail::can_fork<Cache>)
      of_forks = checked_product(forks(how),
                                 Cache::required_bytes_of_fork(shape_of(model.config), keep, o));
    return checked_sum(
        pass_type::required_bytes(model, pass_rows(options, how)),
        Cache::required_bytes(shape_of(model.config), keep, o),
        sampler::required_bytes(model.config.vocab_size, options.sample, how.longest),
        lists_bytes(model.config.vocab_size, options.stream.chunk, how), of_forks);
  }
  /// Bytes held: those of required_bytes.
  std::size_t bytes() const {
    std::size_t n = pass_.bytes() + stream_->bytes() + sampler_.bytes() +
                    lists_bytes(ends_.size(), rows_.size(), how_);
    for (const auto& fork : forks_) n += fork->bytes_beside_pages();
    return n;
  }

  /// Starts anew, with an empty stream and the same randomness.
  void reset() {
    drop_trials();
    said_.clear();
    waiting_.clear();
    taken_ = fed_ = 0;
    next_log_probability_.reset();
    stream_->reset();
    sampler_.reset();
    counters_ = {};
    base::reset_text();
  }

  /// Tokens of the stream so far, BOS and prompts included; the last sampled one follows them.
  std::uint64_t length() const { return stream_->length() + (taken_ > 0 ? taken_ - 1 : 0); }
  /// A trial's tokens enter the cache when the last of them was handed out, or a prompt follows
  /// those that were.
  const Cache& cache() const { return *stream_; }
  const cautious_counters& counters() const { return counters_; }
  /// The ways on that were tried last. Empty behind an ordinary draw or a prompt.
  std::span<const cautious_trial> trials() const { return std::span(trials_).first(tried_); }

 private:
  friend base;

  /// A trial that is under way.
  struct trial_state {
    std::optional<step_type> step;
    float log_probability = 0;  // of what it said last, where the policy asks
    bool runs = false, forked = false;
  };

  // ---- sizes -----------------------------------------------------------------------------------

  static std::size_t pass_rows(const decoder_options& options, const cautious& how) {
    return std::max(options.stream.pass_rows({}), how.most);
  }
  /// Forks that trials need: none if they end with the first token.
  static std::size_t forks(const cautious& how) {
    return how.most > 1 && how.longest > 1 ? how.most : 0;
  }
  static cache_options options_for(const llama_model& model, const keep_type& keep,
                                   const decoder_options& options, const cautious& how,
                                   executor* used) {
    cache_options o = options.stream.for_cache(model, {}, used);
    if constexpr (detail::can_fork<Cache>)
      if (forks(how) > 0)
        o.extra_pages = Cache::pages_for_forks(shape_of(model.config), keep, o, forks(how),
                                               how.longest - 1);  // the last token is not fed
    return o;
  }
  static std::unique_ptr<Cache> fork_of(const Cache& cache) {
    if constexpr (detail::can_fork<Cache>) return std::make_unique<Cache>(cache);
    return nullptr;
  }
  static std::size_t lists_bytes(std::size_t vocabulary, std::size_t chunk, const cautious& how) {
    return vocabulary + chunk * sizeof(row) + (1 + how.most) * vocabulary * sizeof(float) +
           how.most * (sizeof(cautious_trial) + sizeof(trial_state)) +
           (2 + how.most) * how.longest * sizeof(token_id);
  }

  // ---- what text_decoder asks for --------------------------------------------------------------

  std::size_t waiting() const { return waiting_.size() - fed_ + taken_; }
  std::uint64_t room() const { return stream_->room(); }
  void reserve(std::size_t tokens) { waiting_.reserve(fed_ + tokens); }
  void queue(std::span<const token_id> tokens) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(fed_));
    fed_ = 0;
    waiting_.insert(waiting_.end(), tokens.begin(), tokens.end());
  }
  bool has_token() const { return !said_.empty(); }
  emitted_token take() {
    const emitted_token next{said_[taken_], stream_->length() + taken_};
    if (++taken_ == said_.size()) adopt();
    return next;
  }
  /// One pass through the model, or the decision how to go on.
  void go_on(std::size_t) {
    if (fed_ < waiting_.size())
      feed();
    else if (running_ > 0)
      try_on();
    else
      decide();
  }
  void leave() {}
  /// Tokens that were taken are fed as a prompt is; nothing else was ever said.
  void cut() {
    drop_trials();
    if (has_token()) {
      waiting_.assign(said_.begin(), said_.begin() + static_cast<std::ptrdiff_t>(taken_));
      fed_ = taken_ = 0;
      said_.clear();
    }
  }

  // ---- one stream ------------------------------------------------------------------------------

  std::size_t vocabulary() const { return ends_.size(); }
  /// `[vocabulary]`: 0: behind the last token of the stream; 1 + i: of trials, as they pass.
  std::span<float> logits(std::size_t i) {
    return std::span(logits_).subspan(i * vocabulary(), vocabulary());
  }

  /// Feeds a chunk of the waiting tokens.
  void feed() {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(
        {base::options().stream.chunk, waiting_.size() - fed_, stream_->finals_room()}));
    const std::span tokens = std::span(waiting_).subspan(fed_, n);
    if constexpr (Cache::wants_log_probabilities) tell_first(tokens[0]);
    pass_.begin();
    step_type step = stream_->begin(std::span(rows_).first(n));
    pass_.add(step, tokens);
    run_pass();
    step.commit();
    fed_ += n;
    if constexpr (Cache::wants_log_probabilities)
      next_log_probability_ = tell_fed(
          *stream_, pass_, {std::span(waiting_).subspan(fed_ - n), n, 0, stream_->length() - n},
          vocabulary(), std::span(logits_).subspan(vocabulary()));
    for (const token_id id : tokens) sampler_.push(id);
    if (fed_ == waiting_.size()) pass_.logits(n - 1, 1, logits(0).data());
  }
  void run_pass() {
    pass_.run_all();
    ++counters_.passes;
  }

  /// Decides how to go on: with an ordinary draw, or with trials, which say their first tokens.
  void decide() {
    const std::uint64_t index = stream_->length();
    const auto distribution = sampler_.distribution(logits(0));
    const std::size_t n = how_.most > 1 ? how_.trials(entropy(distribution)) : 1;
    ++counters_.points;
    tried_ = 0;
    chosen_ = none;
    if (n == 1) {
      said_.push_back(sampler_.draw(distribution, random_, index));
      return;
    }
    // A point's trials have randomness of their own, so that what was drawn for those that are not
    // taken is never drawn from again.
    const std::uint64_t longest = std::min<std::uint64_t>(how_.longest, room() + 1);
    tried_ = running_ = n;
    ++counters_.tried;
    counters_.trials += n;
    for (std::size_t i = 0; i < n; ++i) {
      trials_[i].random = {random_.bits(purpose::trials, index, static_cast<std::uint32_t>(i)),
                           random_.stream_key};
      trials_[i].said.clear();
      trials_[i].score = {};
      states_[i].runs = true;
      say(i, distribution, logits(0), index, longest);
      if (states_[i].runs) fork(i);
    }
    longest_ = static_cast<std::size_t>(longest);
    if (running_ == 0) choose();
  }
  /// Trial `i` says what comes next.
  void say(std::size_t i, std::span<const token_probability> distribution,
           std::span<const float> from, std::uint64_t index, std::uint64_t longest) {
    cautious_trial& t = trials_[i];
    const token_id id = sampler_.draw(distribution, t.random, index);
    t.said.push_back(id);
    t.score.add(probability_of(distribution, id));
    ++counters_.tokens;
    if constexpr (Cache::wants_log_probabilities)
      states_[i].log_probability = static_cast<float>(log_probability(from, id));
    if (t.said.size() == longest || ends_[static_cast<std::size_t>(id)] != 0 || base::ends(id)) {
      states_[i].runs = false;
      --running_;
    }
  }
  /// One pass over the trials that have not ended.
  void try_on() {
    pass_.begin();
    undo_unless_done trials([this] { drop_trials(); });
    for (std::size_t i = 0; i < tried_; ++i) {
      if (!states_[i].runs) continue;
      const token_id& last = trials_[i].said.back();
      if constexpr (Cache::wants_log_probabilities)
        forks_[i]->tell_log_probability(forks_[i]->length(), states_[i].log_probability);
      states_[i].step.emplace(forks_[i]->begin(std::span(rows_).first(1)));
      pass_.add(*states_[i].step, {&last, 1});
    }
    run_pass();
    trials.done();
    pass_.logits(0, pass_.rows(), logits(1).data());
    for (std::size_t i = 0, at = 1; i < tried_; ++i) {
      trial_state& s = states_[i];
      if (!s.runs) continue;
      s.step->commit();
      s.step.reset();
      // The sampler goes the trial's way and back.
      const auto& said = trials_[i].said;
      for (const token_id id : said) sampler_.push(id);
      const auto from = logits(at++);
      const auto distribution = sampler_.distribution(from);
      sampler_.take_back(said.size());
      say(i, distribution, from, forks_[i]->length(), longest_);
    }
    if (running_ == 0) choose();
  }
  /// All have ended: takes the one of the least perplexity, the first of them on ties.
  void choose() {
    chosen_ = 0;
    for (std::size_t i = 1; i < tried_; ++i)
      if (trials_[i].score.mean() < trials_[chosen_].score.mean()) chosen_ = i;
    for (std::size_t i = 0; i < tried_; ++i)
      if (i != chosen_) forget(i);
    said_.assign(trials_[chosen_].said.begin(), trials_[chosen_].said.end());
  }
  /// All that was said has been taken: the chosen trial's fork becomes the stream.
  void adopt() {
    next_log_probability_.reset();
    if (said_.size() > 1) {
      for (std::size_t i = 0; i + 1 < said_.size(); ++i) sampler_.push(said_[i]);
      std::swap(stream_, forks_[chosen_]);
      forget(chosen_);
      next_log_probability_ = states_[chosen_].log_probability;
    }
    chosen_ = none;
    waiting_.assign(1, said_.back());
    fed_ = taken_ = 0;
    said_.clear();
  }
  /// Nothing of the trials stays, under way or chosen.
  void drop_trials() {
    for (std::size_t i = 0; i < tried_; ++i) {
      states_[i].step.reset();
      states_[i].runs = false;
      forget(i);
    }
    tried_ = running_ = 0;
    chosen_ = none;
  }
  void fork(std::size_t i) {
    if constexpr (detail::can_fork<Cache>) forks_[i]->fork_from(*stream_);
    states_[i].forked = true;
  }
  /// Gives a trial's pages back.
  void forget(std::size_t i) {
    if (std::exchange(states_[i].forked, false)) forks_[i]->reset();
  }

  // ---- policies that go by log-probabilities ---------------------------------------------------

  /// Tells how probable the next token to be fed is.
  void tell_first(token_id id) {
    if (!next_log_probability_.has_value())
      next_log_probability_ = stream_->length() == stream_->options().first_index
                                  ? 0.0f
                                  : static_cast<float>(log_probability(logits(0), id));
    stream_->tell_log_probability(stream_->length(), *next_log_probability_);
    next_log_probability_.reset();
  }

  cautious how_;
  random_source random_;
  pass_type pass_;
  std::unique_ptr<Cache> stream_;
  std::vector<std::unique_ptr<Cache>> forks_;  // [trial]
  sampler sampler_;                            // has seen what the stream was fed
  std::vector<std::uint8_t> ends_;             // [token]
  std::vector<row> rows_;                      // [row] a chain of final rows
  std::vector<float> logits_;                  // [1 + trial, vocabulary]
  std::vector<cautious_trial> trials_;
  std::vector<trial_state> states_;  // [trial]
  std::vector<token_id> waiting_;    // tokens of the stream that were not fed yet, from `fed_` on
  std::size_t fed_ = 0;
  std::size_t tried_ = 0, running_ = 0;  // trials of the last point; of them, those under way
  std::size_t longest_ = 0;              // tokens that they may say
  std::vector<token_id> said_;           // what follows the stream, once that is known
  std::size_t taken_ = 0, chosen_ = none;
  std::optional<float> next_log_probability_;  // of the next token to be fed, if it was worked out
  cautious_counters counters_;
};

}  // namespace weir::inline WEIR_TARGET
