// One stream while it is decoded, round by round: it brings rows to a shared pass (tokens to be
// fed, and drafts behind the last of them), and takes tokens from it.
//
//   s.open(pass, …);  pass.run(…);  s.close(pass);     any number of streams at once
//   s.emitted()                                        tokens that follow, drawn by the target
//   s.settle(n)                                        n of them are taken; the rest never was
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/core/undo.hpp>
#include <weir/model/load_model.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/sampling/weighted_draw.hpp>
#include <weir/speculation/counters.hpp>
#include <weir/speculation/speculate.hpp>
#include <weir/stream/shared_pass.hpp>
#include <weir/stream/stream_options.hpp>
#include <weir/stream/tell_fed.hpp>

namespace weir::inline WEIR_TARGET {

/// A token that the target drew.
struct emitted_token {
  token_id id;
  std::uint64_t index;  ///< its stream index
};

template <class Keep, class Cache, class Speculation>
class basic_sequence {
  using drafter_type = typename Speculation::drafter_type;
  using draft_state = typename drafter_type::state;
  using verify_state = typename Speculation::verifier_state;
  using step_type = typename Cache::step;
  using clock = std::chrono::steady_clock;
  /// Rows whose logits are worked out at once for policies that go by log-probabilities.
  static constexpr std::size_t told_rows = Cache::wants_log_probabilities ? 32 : 0;

 public:
  using pass_type = shared_pass<step_type>;

  basic_sequence(const llama_model& model, Keep keep, const cache_options& options,
                 const sampling& sample, random_source random, const Speculation& speculation,
                 executor& threads) WEIR_TRY
      : speculation_(speculation),
        limits_(speculation.drafter.limits()),
        random_(random),
        cache_(shape_of(model.config), std::move(keep), options),
        sampler_(sample, model.config.vocab_size, limits_.depth),
        tree_(limits_, distribution_size(model)),
        speculation_bytes_(bytes_of(speculation, setup_of(model, sample, threads))),
        drafter_(speculation.drafter, setup_of(model, sample, threads)),
        verifier_(speculation.verifier, {model.config.vocab_size, limits_}),
        vocabulary_(model.config.vocab_size),
        logits_(checked_product(logit_rows(limits_), vocabulary_)) {
    rows_.reserve(options.max_rows);
    verification_.path.reserve(limits_.depth);
    emitted_.reserve(limits_.depth + 1);
    path_rows_.reserve(limits_.depth);
    if constexpr (uses_masks<draft_state>) {
      const std::size_t width = model.config.embedding_length, floats = drafter_.masks().size();
      error::require<error::bad_config>(floats >= limits_.masks.each * width, "drafter: masks of ",
                                        floats, " floats (expected at least limits().masks.each = ",
                                        limits_.masks.each, " of ", width, ")");
    }
  }
  WEIR_OR_OUT_OF_MEMORY("sequence")

  /// Bytes of cache, sampler, drafts, drafter, verifier and logits.
  static std::size_t required_bytes(const llama_model& model, const Keep& keep,
                                    const cache_options& options, const sampling& sample,
                                    const Speculation& speculation) {
    const draft_limits limits = speculation.drafter.limits();
    executor none;
    return checked_sum(Cache::required_bytes(shape_of(model.config), keep, options),
                       sampler::required_bytes(model.config.vocab_size, sample, limits.depth),
                       draft_tree::required_bytes(limits, distribution_size(model)),
                       bytes_of(speculation, setup_of(model, sample, none)),
                       checked_product(logit_rows(limits), model.config.vocab_size, sizeof(float)));
  }

  // ---- tokens in -------------------------------------------------------------------------------

  /// Tokens to be fed, behind those that wait already.
  void queue(std::span<const token_id> tokens) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(fed_));
    shown_ -= fed_;
    fed_ = 0;
    waiting_.insert(waiting_.end(), tokens.begin(), tokens.end());
  }
  /// Takes memory for so many tokens that wait: queueing them then cannot fail.
  void reserve(std::size_t tokens) { waiting_.reserve(fed_ + tokens); }
  /// Tokens that wait, the last one drawn among them.
  std::size_t waiting() const { return waiting_.size() - fed_; }

  // ---- a round ---------------------------------------------------------------------------------

  /// Layers that the rows of an open round have been through already.
  std::size_t layers_done() const {
    if constexpr (drafts_in_target<drafter_type>) return speculation_.drafter.exit_layer();
    return 0;
  }

  /// Opens a step of at most `max_tokens` waiting tokens (at least one) and, if none is left
  /// behind them, of drafts: as many as may be of use where `max_emitted` tokens are wanted. Adds
  /// its rows to the pass. Throws error::bad_call if a round is open or not settled, or no token
  /// waits; what kv_cache::begin throws; error::bad_input for a draft outside the vocabulary and
  /// error::not_finite for a draft model that says nothing. Then the round is given up.
  void open(pass_type& pass, std::size_t max_tokens, std::size_t max_emitted) {
    error::require<error::bad_call>(!step_.has_value() && emitted_.empty(),
                                    "open: a round is open (expected close and settle first)");
    error::require<error::bad_call>(waiting() > 0, "open: no token waits (expected queue first)");
    const auto start = clock::now();
    finals_ = static_cast<std::size_t>(
        std::min<std::uint64_t>({max_tokens, waiting(), cache_.finals_room()}));
    const std::span tokens = std::span(waiting_).subspan(fed_, finals_);
    draws_ = finals_ == waiting();
    has_drawn_ = false;
    rows_.assign(finals_, row{});
    step_.emplace(cache_.begin(rows_));
    undo_unless_done round([this] { abandon(); });
    add_rows(pass, tokens, max_emitted);
    round.done();
    draft_seconds_ = seconds_since(start);
  }
  /// Gives the open round up: without a trace before any of its rows have been through a layer;
  /// later, the stream can only be reset.
  void abandon() { step_.reset(); }

  /// The pass is over: draws what follows. `pass_seconds` and `pass_rows`: what the pass took, and
  /// over how many rows. Throws error::not_finite, naming the layer, where the model says nothing
  /// of the next token; the tokens fed have entered the cache then. Throws error::bad_call if no
  /// round is open.
  void close(pass_type& pass, double pass_seconds, std::size_t pass_rows) {
    error::require<error::bad_call>(step_.has_value() && emitted_.empty(),
                                    "close: no round is open (expected open first)");
    emitted_.clear();
    tell_finals(pass);
    if (!draws_) return commit_finals();
    const auto start = clock::now();
    pass.logits(first_row_ + finals_ - 1, tree_.size(), logits_.data());
    verify(pass);
    for (const draft_tree::node n : verification_.path) emit(tree_.token(n));
    emit(verification_.extra);
    pass_ = &pass;
    count(pass_seconds + seconds_since(start), pass_rows);
  }

  /// Tokens drawn in the last round that were not settled. Empty if the round only fed.
  std::span<const emitted_token> emitted() const { return emitted_; }

  /// The stream goes on from the first `taken` of the tokens emitted, at least one if there are
  /// any: all but the last of them enter the cache, the last one waits. Before the next pass.
  /// Throws error::bad_input for none or more than there are.
  void settle(std::size_t taken) {
    if (emitted_.empty()) return;
    error::require<error::bad_input>(taken > 0 && taken <= emitted_.size(), "settle: ", taken,
                                     " tokens (expected 1 to ", emitted_.size(), ")");
    const std::size_t accepted = taken - 1;
    path_rows_.clear();
    for (std::size_t i = 0; i < accepted; ++i)
      path_rows_.push_back(finals_ - 1 + verification_.path[i]);
    step_->commit(path_rows_);
    step_.reset();
    const float next = log_probability_after(accepted);
    for (std::size_t i = 0; i < accepted; ++i) tell(emitted_[i].index, log_probability_after(i));
    // From here on the stream is settled, also where a drafter throws.
    undo_unless_done emitted([this] { emitted_.clear(); });
    fed_ += finals_;
    sampler_.take_back(verification_.path.size() - accepted);
    drawn_from_ = accepted > 0 ? verification_.path[accepted - 1] : 0;
    has_drawn_ = true;
    next_log_probability_ = next;
    queue({&emitted_[accepted].id, 1});
    for (std::size_t i = 0; i < accepted; ++i) drafter_.append({&emitted_[i].id, 1});
    if constexpr (sees_hidden_rows<draft_state>)
      drafter_.see(pass_->hidden(first_row_ + finals_ - 1 + drawn_from_));
    show_masks();
    emitted.done();
    emitted_.clear();
  }

  /// Logits `[vocabulary]` that token number `i` of those emitted was drawn from. Throws
  /// error::bad_input if there are not so many.
  std::span<const float> logits_of(std::size_t i) const {
    error::require<error::bad_input>(i < emitted_.size(), "logits: token ", i, " of ",
                                     emitted_.size(), " emitted");
    return logits_at(i > 0 ? verification_.path[i - 1] : 0);
  }
  /// Logits that the last settled token was drawn from, until the next round. Throws
  /// error::bad_call if none was drawn.
  std::span<const float> logits() const {
    error::require<error::bad_call>(has_drawn_, "logits: no token was drawn yet");
    return logits_at(drawn_from_);
  }

  // ---- the stream ------------------------------------------------------------------------------

  /// Forgets the stream; memory and randomness stay.
  void reset() {
    step_.reset();
    emitted_.clear();
    waiting_.clear();
    fed_ = shown_ = 0;
    round_ = 0;
    has_drawn_ = false;
    cache_.reset();
    sampler_.reset();
    drafter_.reset();
    counters_ = {};
    next_log_probability_ = 0;
  }
  /// The same, for another stream that begins with `tokens`.
  void reset(random_source random, std::span<const token_id> tokens) {
    reserve(tokens.size());
    reset();
    random_ = random;
    queue(tokens);
  }

  /// Stream index of the next token to be fed if the first `taken` of the tokens emitted are.
  std::uint64_t length_after(std::size_t taken) const {
    return taken > 0 ? emitted_[taken - 1].index : cache_.length();
  }
  const Cache& cache() const { return cache_; }
  const speculation_counters& counters() const { return counters_; }
  std::size_t bytes() const {
    return cache_.bytes() + sampler_.bytes() + tree_.bytes() + speculation_bytes_ +
           logits_.size() * sizeof(float);
  }

 private:
  /// What verifiers see of the pass: see speculation/concept.hpp.
  struct verified_rows {
    basic_sequence& s;
    std::size_t pushed = 0;  // tokens shown to the sampler

    std::uint64_t index_behind(draft_tree::node n) const {
      return s.cache_.length() + s.finals_ + s.tree_.depth(n);
    }
    token_id sample(draft_tree::node n) {
      return s.sampler_(s.logits_at(n), s.random_, index_behind(n));
    }
    std::span<const token_probability> distribution(draft_tree::node n) {
      return s.sampler_.distribution(s.logits_at(n));
    }
    bool accept_with_probability(draft_tree::node n, std::size_t sibling, double p) const {
      return s.random_.uniform(purpose::acceptance, index_behind(n),
                               static_cast<std::uint32_t>(sibling)) < p;
    }
    token_id draw(draft_tree::node n, std::span<const double> weights) const {
      return draw_weighted(weights, s.random_.uniform(purpose::residual, index_behind(n)));
    }
    void go(draft_tree::node n) {
      s.sampler_.push(s.tree_.token(n));
      ++pushed;
    }
    void back() {
      s.sampler_.take_back(1);
      --pushed;
    }
  };

  /// The drafts as rows of the pass; and the target's first layers, for drafters that use them.
  struct rows_of_tree {
    basic_sequence& s;
    pass_type& pass;
    std::size_t done = 0;  // rows of the stream that have been through

    /// Makes rows of nodes that are none yet.
    void add() {
      const std::size_t old = s.rows_.size();
      const draft_tree::node first = 1 + old - s.finals_;
      if (first >= s.tree_.size()) return;
      for (draft_tree::node n = first; n < s.tree_.size(); ++n)
        s.rows_.push_back({static_cast<int>(s.finals_ - 1 + s.tree_.parent(n)), true});
      s.step_->extend(std::span(s.rows_).subspan(old));
      pass.extend(s.tree_.tokens().subspan(first));
    }
    /// Takes nodes that are new through the drafter's layers.
    void read() {
      add();
      pass.run(0, s.layers_done(), s.first_row_ + done, s.first_row_ + s.rows_.size());
      done = s.rows_.size();
    }
    /// `[vocabulary]`: what the model would say behind a node if it had no further layers.
    void logits(draft_tree::node n, float* out) {
      pass.logits(s.first_row_ + s.finals_ - 1 + n, 1, out);
    }
  };

  /// Draws what follows. Where a draft leads to a row of which the model says nothing, all drafts
  /// are dropped: what is drawn is what would be without any.
  void verify(pass_type& pass) {
    verified_rows target{*this};
    verification_.path.clear();
    error::attempt<error::not_finite>(
        [&] { verifier_.verify(tree_, target, verification_); },
        [&](const error::not_finite&) {
          sampler_.take_back(target.pushed);
          if (tree_.drafts() > 0) {
            tree_.start(tree_.token(0), draft_limits{});
            return verify(pass);
          }
          commit_finals();
          error::raise<error::not_finite>("the model's numbers are not finite: first in ",
                                          pass.first_not_finite(first_row_ + finals_ - 1),
                                          ", for token ", cache_.length() - 1,
                                          " of the stream (expected finite weights, and sums that "
                                          "f32 can hold)");
        });
  }
  /// The step's tokens enter the cache; drafts, if any, are dropped.
  void commit_finals() {
    step_->commit();
    step_.reset();
    fed_ += finals_;
  }

  static std::size_t logit_rows(const draft_limits& limits) {
    return std::max(checked_sum(limits.nodes, 1u, limits.masks.each), told_rows);
  }
  static std::size_t distribution_size(const llama_model& model) {
    return Speculation::wants_distributions ? model.config.vocab_size : 0;
  }
  static draft_setup setup_of(const llama_model& model, const sampling& sample, executor& threads) {
    return {model.config.vocab_size, model.config.block_count, model.config.embedding_length,
            sample, &threads};
  }
  /// What drafter and verifier hold.
  static std::size_t bytes_of(const Speculation& speculation, const draft_setup& setup) {
    return checked_sum(draft_state::required_bytes(speculation.drafter, setup),
                       verify_state::required_bytes(
                           speculation.verifier, {setup.vocabulary, speculation.drafter.limits()}));
  }
  static double seconds_since(clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
  }

  std::span<const float> logits_at(draft_tree::node n) const {
    return std::span(logits_).subspan(n * vocabulary_, vocabulary_);
  }
  void emit(token_id id) { emitted_.push_back({id, cache_.length() + finals_ + emitted_.size()}); }

  /// Adds the open step's tokens to the pass, and drafts behind them.
  void add_rows(pass_type& pass, std::span<const token_id> tokens, std::size_t max_emitted) {
    first_row_ = pass.add(*step_, tokens);
    const std::span seen = std::span(waiting_).subspan(shown_, fed_ + finals_ - shown_);
    for (const token_id id : seen) sampler_.push(id);
    drafter_.append(seen);
    shown_ = fed_ + finals_;
    tree_.start(tokens.back(), draws_ ? limits_now(max_emitted) : draft_limits{});
    const draft_request request{cache_.length() + finals_ - 1, round_++, random_};
    rows_of_tree target{*this, pass};
    if constexpr (drafts_in_target<drafter_type>) {
      target.read();
      if (tree_.limits().nodes > 0) propose(request, target);
      target.add();
      add_masks(pass);
      target.read();
    } else {
      if (tree_.limits().nodes > 0) propose(request);
      target.add();
      add_masks(pass);
    }
  }

  template <class... Target>
  void propose(const draft_request& request, Target&... target) {
    error::attempt<error::not_finite>(
        [&] { drafter_.propose(request, tree_, target...); },
        [](const error::not_finite&) {
          error::raise<error::not_finite>(
              "drafter: the draft model's numbers are not finite (expected finite weights, and "
              "sums that f32 can hold)");
        });
  }

  // ---- masks: rows behind those of the tree, a chain for each node that has some ----------------

  void add_masks(pass_type& pass) {
    if constexpr (uses_masks<draft_state>) {
      const std::size_t old = rows_.size(), width = pass.embedding_length();
      for (draft_tree::node n = 0; n < tree_.size(); ++n)
        for (std::size_t i = 0; i < tree_.masks(n); ++i)
          rows_.push_back({i == 0 ? static_cast<int>(finals_ - 1 + n) : row::previous, true});
      step_->extend(std::span(rows_).subspan(old));
      for (draft_tree::node n = 0; n < tree_.size(); ++n)
        pass.extend_embeddings(drafter_.masks().first(tree_.masks(n) * width));
    }
  }
  /// Shows the drafter what was said behind the masks of the node that the stream goes on from.
  void show_masks() {
    if constexpr (uses_masks<draft_state>) {
      const std::size_t n = tree_.masks(drawn_from_);
      std::size_t first = first_row_ + finals_ - 1 + tree_.size();
      for (draft_tree::node other = 0; other < drawn_from_; ++other) first += tree_.masks(other);
      const auto out =
          std::span(logits_).subspan((limits_.nodes + 1) * vocabulary_, n * vocabulary_);
      pass_->logits(first, n, out.data());
      drafter_.see_masks(out);
    }
  }

  /// What may be drafted behind the waiting tokens.
  draft_limits limits_now(std::size_t max_emitted) {
    draft_limits now = limits_;
    const std::size_t room = cache_.draft_room(finals_);
    now.depth = std::min(now.depth, room);
    if (now.depth < limits_.depth) ++counters_.clipped;
    now.masks.depth = std::min(now.masks.depth, room);
    now.depth = std::min(now.depth, std::max<std::size_t>(max_emitted, 1) - 1);
    return now.depth > 0 ? now : draft_limits{};
  }

  void count(double seconds, std::size_t pass_rows) {
    speculation_counters& c = counters_;
    const std::size_t accepted = verification_.path.size();
    const draft_tree::node end = accepted > 0 ? verification_.path.back() : 0;
    const bool at_leaf = tree_.child(end) == draft_tree::none;
    ++c.rounds;
    c.draft_seconds += draft_seconds_;
    c.verify_seconds += seconds;
    if (tree_.drafts() > 0) {
      ++c.drafted;
      ++(at_leaf ? c.fully : accepted > 0 ? c.partly : c.not_at_all);
      ++(at_leaf ? c.bonus : c.corrections);
      c.proposed += tree_.drafts();
      c.accepted += accepted;
    }
    if constexpr (learns_from_rounds<draft_state>)
      drafter_.learn(
          {tree_.drafts(), tree_.deepest(), accepted, draft_seconds_, seconds, pass_rows});
  }

  // ---- policies that go by log-probabilities ---------------------------------------------------

  void tell(std::uint64_t index, float log_probability) {
    if constexpr (Cache::wants_log_probabilities)
      cache_.tell_log_probability(index, log_probability);
  }
  /// How probable token number `i` of those emitted was.
  float log_probability_after(std::size_t i) const {
    if constexpr (Cache::wants_log_probabilities)
      return static_cast<float>(log_probability(logits_of(i), emitted_[i].id));
    return 0;
  }
  /// Tells of the tokens that the round fed; of the next one that waits, all is known then too.
  void tell_finals(pass_type& pass) {
    if constexpr (Cache::wants_log_probabilities) {
      const std::uint64_t first = cache_.length();
      tell(first, next_log_probability_);
      if (const auto next = tell_fed(
              cache_, pass, {std::span(waiting_).subspan(fed_), finals_, first_row_, first},
              vocabulary_, logits_))
        next_log_probability_ = *next;
    }
  }

  Speculation speculation_;
  draft_limits limits_;
  random_source random_;
  Cache cache_;
  sampler sampler_;
  draft_tree tree_;
  std::size_t speculation_bytes_;  // worked out, and refused, before anything of it is allocated
  draft_state drafter_;
  verify_state verifier_;
  std::size_t vocabulary_;
  std::vector<float> logits_;        // [node, vocabulary], then [mask, vocabulary] of one node
  std::vector<token_id> waiting_;    // tokens of the stream that were not fed yet, from `fed_` on
  std::size_t fed_ = 0, shown_ = 0;  // of them, shown to sampler and drafter

  // The open round.
  std::optional<step_type> step_;
  std::vector<row> rows_;  // finals, then nodes 1, 2, …, then masks, node by node
  std::size_t finals_ = 0, first_row_ = 0;
  bool draws_ = false, has_drawn_ = false;
  verification verification_;
  std::vector<emitted_token> emitted_;
  std::vector<std::size_t> path_rows_;
  draft_tree::node drawn_from_ = 0;
  pass_type* pass_ = nullptr;  // the last one

  std::uint64_t round_ = 0;
  double draft_seconds_ = 0;
  float next_log_probability_ = 0;
  speculation_counters counters_;
};

template <class Cache, class Speculation = no_speculation>
using sequence = basic_sequence<keep_of<Cache>, Cache, Speculation>;

}  // namespace weir::inline WEIR_TARGET
