// From logits to a token.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/sampling_kernels.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/penalties.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/sampling/token_window.hpp>

namespace weir::inline WEIR_TARGET {

/// Chooses tokens as `sampling` says. All memory is taken at construction. Logits that are NaN
/// count as −∞; tokens at +∞ share all probability equally; where no logit is above −∞, the
/// distribution is token 0 alone. The same logits give the same bits on every machine.
///
/// Penalties go by the tokens that were pushed, in stream order; without penalties nobody has to
/// push, and pushing does nothing.
class sampler {
 public:
  /// The stream can be taken back to `most_taken_back` tokens less than it ever had. Throws
  /// `error::bad_config` for options out of range or an empty vocabulary.
  sampler(const sampling& options, std::size_t vocab_size, std::size_t most_taken_back = 0)
      : options_(options) {
    require_kernels();
    options.validate();
    constexpr std::size_t most = std::numeric_limits<token_id>::max();
    error::require<error::bad_config>(vocab_size > 0 && vocab_size <= most, "sampler: ", vocab_size,
                                      " tokens (expected 1 to ", most, ")");
    error::require<error::bad_config>(
        most_taken_back <= sampling::most_repeat_last, "sampler: ", most_taken_back,
        " tokens to be taken back (expected at most ", sampling::most_repeat_last, ")");
    arena_plan plan;
    const blocks b = reserve(plan, options, vocab_size, most_taken_back);
    memory_ = arena(plan);
    weights_ = memory_[b.weights];
    candidates_ = memory_[b.candidates];
    if (options.penalizes()) recent_ = token_window(memory_[b.recent], options.repeat_last);
  }

  /// Exactly the bytes that a sampler holds.
  static std::size_t required_bytes(std::size_t vocab_size, const sampling& options = {},
                                    std::size_t most_taken_back = 0) {
    arena_plan plan;
    reserve(plan, options, vocab_size, most_taken_back);
    return plan.bytes();
  }
  std::size_t bytes() const { return memory_.bytes(); }
  const sampling& options() const { return options_; }

  /// Tells the next token of the stream, of a prompt or drawn. Throws `error::bad_input` for an id
  /// outside the vocabulary. O(1).
  void push(token_id id) {
    if (!options_.penalizes()) return;
    error::require<error::bad_input>(id >= 0 && static_cast<std::size_t>(id) < weights_.size(),
                                     "push: token ", id, " (expected an id from 0 to below ",
                                     weights_.size(), ", the size of the vocabulary)");
    recent_.push(id);
  }
  /// Undoes the last n pushes, as if they had never been. Throws `error::bad_call`, and undoes
  /// none, if they go further back than `most_taken_back` lets them. O(1).
  void take_back(std::size_t n) {
    if (options_.penalizes()) recent_.take_back(n);
  }
  /// Forgets the stream.
  void reset() { recent_.reset(); }

  /// Draws a token. The draw depends on the logits, the tokens pushed, the stream's randomness and
  /// `stream_index` alone, not on draws before it. O(vocabulary) and, with top_p,
  /// O(log vocabulary) a token kept.
  token_id operator()(std::span<const float> logits, const random_source& random,
                      std::uint64_t stream_index) {
    return draw(distribution(logits), random, stream_index);
  }

  /// The tokens that may be drawn, ids rising, with probabilities above 0 that add up to 1 (within
  /// rounding). Valid until the next call.
  std::span<const token_probability> distribution(std::span<const float> logits) {
    error::require<error::bad_input>(logits.size() == weights_.size(), "sampler: ", logits.size(),
                                     " logits (expected ", weights_.size(), ")");
    if (options_.penalizes()) {
      penalize(logits, recent_, options_, weights_);
      logits = weights_;
    }
    const float largest = logits_kernels().largest_logit(logits);
    if (largest == -std::numeric_limits<float>::infinity()) return only(0);
    if (options_.temperature == 0)
      return only(std::find(logits.begin(), logits.end(), largest) - logits.begin());
    const double total =
        logits_kernels().softmax_weights(logits, largest, options_.temperature, weights_.data());
    const bool by_rank = options_.top_k > 0 && options_.top_k < logits.size();
    if (by_rank) return normalized(cut(best_k(), std::numeric_limits<double>::quiet_NaN()));
    if (options_.top_p < 1) {
      // Tokens below (1 − p) / n of the whole are never needed to reach p: at least half of that
      // margin is left to rounding.
      const double needless =
          0.5 * (1 - double{options_.top_p}) * total / static_cast<double>(logits.size());
      return normalized(cut(above(static_cast<float>(needless)), total));
    }
    return normalized(above(options_.min_p));
  }

  /// Draws from `tokens`, such as `distribution` gives, by the rule of the options.
  token_id draw(std::span<const token_probability> tokens, const random_source& random,
                std::uint64_t stream_index) const {
    if (tokens.size() == 1) return tokens[0].token;
    if (options_.draw == draw_rule::gumbel) return draw_gumbel(tokens, random, stream_index);
    return draw(tokens, random.uniform(purpose::sampling, stream_index));
  }

  /// The token at which the running sum of probabilities passes `u` in [0, 1) of their sum.
  static token_id draw(std::span<const token_probability> tokens, double u) {
    double sum = 0;
    for (const token_probability& t : tokens) sum += t.probability;
    const double target = u * sum;
    double passed = 0;
    for (const token_probability& t : tokens) {
      passed += t.probability;
      if (passed > target) return t.token;
    }
    return tokens.back().token;  // u * sum may round up to sum
  }

 private:
  struct blocks {
    arena_plan::block<float> weights;
    arena_plan::block<token_probability> candidates;
    arena_plan::block<token_id> recent;
  };
  static blocks reserve(arena_plan& plan, const sampling& options, std::size_t vocab_size,
                        std::size_t most_taken_back) {
    return {plan.reserve<float>(vocab_size), plan.reserve<token_probability>(vocab_size),
            plan.reserve<token_id>(options.penalizes()
                                       ? token_window::room(options.repeat_last, most_taken_back)
                                       : 0)};
  }

  static const sampling_kernels& logits_kernels() { return kernels<sampling_kernels>(); }

  using candidates = std::span<token_probability>;

  static bool more_probable(const token_probability& a, const token_probability& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.token < b.token);
  }

  candidates only(std::ptrdiff_t token) {
    candidates_[0] = {static_cast<token_id>(token), 1.0f};
    return candidates_.first(1);
  }

  /// Tokens of at least this weight, none of weight 0; ids rising.
  candidates above(float least) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      candidates_[count] = {static_cast<token_id>(i), weights_[i]};
      count += weights_[i] >= least && weights_[i] > 0;
    }
    return candidates_.first(count);
  }

  /// The top_k tokens, in no order. A heap of the best so far, whose front is the worst of them.
  candidates best_k() {
    const std::size_t k = options_.top_k;
    std::size_t count = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const token_probability next{static_cast<token_id>(i), weights_[i]};
      if (next.probability == 0) continue;
      if (count < k) {
        ++count;
      } else if (more_probable(next, candidates_[0])) {
        const candidates full = candidates_.first(k);
        std::pop_heap(full.begin(), full.end(), more_probable);
      } else {
        continue;
      }
      const candidates heap = candidates_.first(count);
      heap.back() = next;
      std::push_heap(heap.begin(), heap.end(), more_probable);
    }
    return candidates_.first(count);
  }

  /// What top_p and min_p leave of `from`, ids rising. `total` is the weight that top_p is a part
  /// of; NaN stands for the weight of `from`.
  candidates cut(candidates from, double total) {
    const auto less_probable = [](const token_probability& a, const token_probability& b) {
      return more_probable(b, a);
    };
    if (std::isnan(total)) {
      std::sort(from.begin(), from.end(), less_probable);  // one order, so one sum
      total = 0;
      for (std::size_t i = from.size(); i-- > 0;) total += from[i].probability;
    }
    // 1e-6 makes up for the rounding of f32 weights: .4 + .3 reaches .7.
    const double target = options_.top_p < 1 ? (double{options_.top_p} - 1e-6) * total
                                             : std::numeric_limits<double>::infinity();
    std::make_heap(from.begin(), from.end(), less_probable);
    std::size_t left = from.size();
    double reached = 0;
    do {
      const candidates heap = from.first(left);
      std::pop_heap(heap.begin(), heap.end(), less_probable);
      reached += from[--left].probability;
    } while (left > 0 && reached < target && from[0].probability >= options_.min_p);
    const candidates kept = from.subspan(left);
    std::sort(kept.begin(), kept.end(),
              [](const auto& a, const auto& b) { return a.token < b.token; });
    return kept;
  }

  /// Turns weights into probabilities.
  static candidates normalized(candidates tokens) {
    double sum = 0;
    for (const token_probability& t : tokens) sum += t.probability;
    for (token_probability& t : tokens)
      t.probability = static_cast<float>(double{t.probability} / sum);
    return tokens;
  }

  sampling options_;
  arena memory_;
  std::span<float> weights_;                 // [vocab], 1 for the most probable token
  std::span<token_probability> candidates_;  // [vocab]
  token_window recent_;                      // no tokens without penalties
};

}  // namespace weir::inline WEIR_TARGET
