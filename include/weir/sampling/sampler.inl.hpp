// Bodies of sampling/sampler.hpp.
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
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/penalties.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/sampling/token_window.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE sampler::sampler(const sampling& options, std::size_t vocab_size,
                             std::size_t max_taken_back)
    : options_(options) {
  require_kernels();
  arena_plan plan;
  const blocks b = reserve(plan, options, vocab_size, max_taken_back);
  memory_ = arena(plan);
  weights_ = memory_[b.weights];
  candidates_ = memory_[b.candidates];
  if (options.penalizes()) recent_ = token_window(memory_[b.recent], options.repeat_last);
}

WEIR_INLINE std::size_t sampler::required_bytes(std::size_t vocab_size, const sampling& options,
                                                std::size_t max_taken_back) {
  arena_plan plan;
  reserve(plan, options, vocab_size, max_taken_back);
  return plan.bytes();
}

WEIR_INLINE void sampler::push(token_id id) {
  if (!options_.penalizes()) return;
  error::require<error::bad_input>(id >= 0 && static_cast<std::size_t>(id) < weights_.size(),
                                   "push: token ", id, " (expected an id from 0 to below ",
                                   weights_.size(), ", the size of the vocabulary)");
  recent_.push(id);
}

WEIR_INLINE std::span<const token_probability> sampler::distribution(
    std::span<const float> logits) {
  error::require<error::bad_input>(logits.size() == weights_.size(), "sampler: ", logits.size(),
                                   " logits (expected ", weights_.size(), ")");
  if (options_.penalizes()) {
    penalize(logits, recent_, options_, weights_);
    logits = weights_;
  }
  const float largest = logits_kernels().largest_logit(logits);
  error::require<error::not_finite>(largest > -std::numeric_limits<float>::infinity(),
                                    "sampler: none of ", logits.size(),
                                    " logits is finite (expected at least one)");
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

WEIR_INLINE void sampler::require_tokens(std::span<const token_probability> tokens) {
  error::require<error::bad_input>(!tokens.empty(), "draw: no tokens (expected at least 1)");
}

WEIR_INLINE token_id sampler::draw(std::span<const token_probability> tokens,
                                   const random_source& random, std::uint64_t stream_index) const {
  if (tokens.size() == 1) return tokens[0].token;
  require_tokens(tokens);
  if (options_.draw == draw_rule::gumbel) return draw_gumbel(tokens, random, stream_index);
  return draw(tokens, random.uniform(purpose::sampling, stream_index));
}

WEIR_INLINE token_id sampler::draw(std::span<const token_probability> tokens, double u) {
  require_tokens(tokens);
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

WEIR_INLINE sampler::blocks sampler::reserve(arena_plan& plan, const sampling& options,
                                             std::size_t vocab_size, std::size_t max_taken_back) {
  options.validate();
  constexpr std::size_t most = std::numeric_limits<token_id>::max();
  error::require<error::bad_config>(vocab_size > 0 && vocab_size <= most, "sampler: ", vocab_size,
                                    " tokens (expected 1 to ", most, ")");
  error::require<error::bad_config>(
      max_taken_back <= sampling::max_repeat_last, "sampler: ", max_taken_back,
      " tokens to be taken back (expected at most ", sampling::max_repeat_last, ")");
  return {plan.reserve<float>(vocab_size), plan.reserve<token_probability>(vocab_size),
          plan.reserve<token_id>(
              options.penalizes() ? token_window::room(options.repeat_last, max_taken_back) : 0)};
}

WEIR_INLINE sampler::candidates sampler::above(float least) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    candidates_[count] = {static_cast<token_id>(i), weights_[i]};
    count += weights_[i] >= least && weights_[i] > 0;
  }
  return candidates_.first(count);
}

WEIR_INLINE sampler::candidates sampler::best_k() {
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

WEIR_INLINE sampler::candidates sampler::cut(candidates from, double total) {
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

WEIR_INLINE sampler::candidates sampler::normalized(candidates tokens) {
  double sum = 0;
  for (const token_probability& t : tokens) sum += t.probability;
  for (token_probability& t : tokens)
    t.probability = static_cast<float>(double{t.probability} / sum);
  return tokens;
}

}  // namespace weir::inline WEIR_TARGET
