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
#include <weir/core/token.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

/// Chooses tokens as `sampling` says. All memory is taken at construction. Logits that are NaN
/// count as −∞; tokens at +∞ share all probability equally; where no logit is above −∞, the
/// distribution is token 0 alone. The same logits give the same bits on every machine.
class sampler {
 public:
  /// Throws `error::bad_config` for options out of range or an empty vocabulary.
  sampler(const sampling& options, std::size_t vocab_size) : options_(options) {
    options.validate();
    constexpr std::size_t most = std::numeric_limits<token_id>::max();
    error::require<error::bad_config>(vocab_size > 0 && vocab_size <= most, "sampler: ", vocab_size,
                                      " tokens (expected 1 to ", most, ")");
    arena_plan plan;
    const blocks b = reserve(plan, vocab_size);
    memory_ = arena(plan);
    weights_ = memory_[b.weights];
    candidates_ = memory_[b.candidates];
  }

  /// Exactly the bytes that a sampler holds.
  static std::size_t required_bytes(std::size_t vocab_size) {
    arena_plan plan;
    reserve(plan, vocab_size);
    return plan.bytes();
  }
  std::size_t bytes() const { return memory_.bytes(); }
  const sampling& options() const { return options_; }

  /// Draws a token. The draw depends on the logits, the stream's randomness and `stream_index`
  /// alone, not on draws before it. O(vocabulary) and, with top_p, O(log vocabulary) a token kept.
  token_id operator()(std::span<const float> logits, const random_source& random,
                      std::uint64_t stream_index) {
    const auto tokens = distribution(logits);
    if (tokens.size() == 1) return tokens[0].token;
    return draw(tokens, random.uniform(purpose::sampling, stream_index));
  }

  /// The tokens that may be drawn, ids rising, with probabilities above 0 that add up to 1 (within
  /// rounding). Valid until the next call.
  std::span<const token_probability> distribution(std::span<const float> logits) {
    error::require<error::bad_input>(logits.size() == weights_.size(), "sampler: ", logits.size(),
                                     " logits (expected ", weights_.size(), ")");
    const float largest = max_logit(logits);
    if (largest == -std::numeric_limits<float>::infinity()) return only(0);
    if (options_.temperature == 0)
      return only(std::find(logits.begin(), logits.end(), largest) - logits.begin());
    const double total = weigh(logits, largest);
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
  };
  static blocks reserve(arena_plan& plan, std::size_t vocab_size) {
    return {plan.reserve<float>(vocab_size), plan.reserve<token_probability>(vocab_size)};
  }

  using candidates = std::span<token_probability>;

  static bool more_probable(const token_probability& a, const token_probability& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.token < b.token);
  }

  candidates only(std::ptrdiff_t token) {
    candidates_[0] = {static_cast<token_id>(token), 1.0f};
    return candidates_.first(1);
  }

  /// The largest logit, NaN left out.
  static float max_logit(std::span<const float> logits) {
    using arch = simd::native;
    constexpr std::size_t lanes = simd::lanes<arch>;
    constexpr float none = -std::numeric_limits<float>::infinity();
    auto best = simd::broadcast<arch>(none);
    std::size_t i = 0;
    for (; i + lanes <= logits.size(); i += lanes) {
      const auto x = simd::load<arch>(&logits[i]);
      best = xsimd::select(x > best, x, best);
    }
    float largest = simd::max_lane<arch>(best);
    for (; i < logits.size(); ++i) largest = logits[i] > largest ? logits[i] : largest;
    return largest;
  }

  /// Fills in every token's weight, exp((logit − largest) / temperature), and returns their sum,
  /// added up over 16 lanes.
  double weigh(std::span<const float> logits, float largest) {
    const std::size_t n = logits.size();
    for (std::size_t i = 0; i < n; ++i) {
      // Equal infinities have no difference; NaN compares with nothing.
      const float below =
          logits[i] == largest ? 0.0f : (logits[i] - largest) / options_.temperature;
      weights_[i] = below <= 0 ? below : -std::numeric_limits<float>::infinity();
    }
    using arch = simd::native;
    constexpr std::size_t lanes = simd::lanes<arch>;
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes)
      simd::store<arch>(&weights_[i], simd::exp<arch>(simd::load<arch>(&weights_[i])));
    for (; i < n; ++i) weights_[i] = simd::exp(weights_[i]);

    double lane[16] = {};
    for (i = 0; i + 16 <= n; i += 16)
      for (std::size_t l = 0; l < 16; ++l) lane[l] += double{weights_[i + l]};
    for (; i < n; ++i) lane[i % 16] += double{weights_[i]};
    double sum = 0;
    for (const double x : lane) sum += x;
    return sum;
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
        candidates_[count++] = next;
        std::push_heap(candidates_.begin(), candidates_.begin() + count, more_probable);
      } else if (more_probable(next, candidates_[0])) {
        std::pop_heap(candidates_.begin(), candidates_.begin() + count, more_probable);
        candidates_[count - 1] = next;
        std::push_heap(candidates_.begin(), candidates_.begin() + count, more_probable);
      }
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
      std::pop_heap(from.begin(), from.begin() + left, less_probable);
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
};

}  // namespace weir
