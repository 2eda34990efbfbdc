// From logits to a token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/arena.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/sampling_kernels.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/sampling/token_window.hpp>

namespace weir::inline WEIR_TARGET {

/// Chooses tokens as `sampling` says. All memory is taken at construction. Logits that are NaN
/// count as −∞; tokens at +∞ share all probability equally. The same logits give the same bits on
/// every machine.
///
/// Penalties go by the tokens that were pushed, in stream order; without penalties nobody has to
/// push, and pushing does nothing.
class sampler {
 public:
  /// The stream can be taken back to `max_taken_back` tokens less than it ever had. Throws
  /// `error::bad_config` for options out of range or an empty vocabulary, `error::out_of_memory`.
  sampler(const sampling& options, std::size_t vocab_size, std::size_t max_taken_back = 0);

  /// Exactly the bytes that a sampler holds. Throws what the constructor throws.
  static std::size_t required_bytes(std::size_t vocab_size, const sampling& options = {},
                                    std::size_t max_taken_back = 0);
  std::size_t bytes() const { return memory_.bytes(); }
  const sampling& options() const { return options_; }

  /// Tells the next token of the stream, of a prompt or drawn. Throws `error::bad_input` for an id
  /// outside the vocabulary. O(1).
  void push(token_id id);
  /// Undoes the last n pushes, as if they had never been. Throws `error::bad_call`, and undoes
  /// none, if they go further back than `max_taken_back` lets them. O(1).
  void take_back(std::size_t n) {
    if (options_.penalizes()) recent_.take_back(n);
  }
  /// Forgets the stream.
  void reset() { recent_.reset(); }

  /// Draws a token. The draw depends on the logits, the tokens pushed, the stream's randomness and
  /// `stream_index` alone, not on draws before it. O(vocabulary) and, with top_p,
  /// O(log vocabulary) a token kept. Throws as `distribution` does.
  token_id operator()(std::span<const float> logits, const random_source& random,
                      std::uint64_t stream_index) {
    return draw(distribution(logits), random, stream_index);
  }

  /// The tokens that may be drawn, ids rising, with probabilities above 0 that add up to 1 (within
  /// rounding). Valid until the next call. Throws error::not_finite where no logit is above −∞.
  std::span<const token_probability> distribution(std::span<const float> logits);

  /// Draws from `tokens`, such as `distribution` gives, by the rule of the options. Throws
  /// `error::bad_input` if there are none.
  token_id draw(std::span<const token_probability> tokens, const random_source& random,
                std::uint64_t stream_index) const;

  /// The token at which the running sum of probabilities passes `u` in [0, 1) of their sum.
  static token_id draw(std::span<const token_probability> tokens, double u);

 private:
  struct blocks {
    arena_plan::block<float> weights;
    arena_plan::block<token_probability> candidates;
    arena_plan::block<token_id> recent;
  };
  static blocks reserve(arena_plan& plan, const sampling& options, std::size_t vocab_size,
                        std::size_t max_taken_back);

  static const sampling_kernels& logits_kernels() { return kernels<sampling_kernels>(); }

  static void require_tokens(std::span<const token_probability> tokens);

  using candidates = std::span<token_probability>;

  static bool more_probable(const token_probability& a, const token_probability& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.token < b.token);
  }

  candidates only(std::ptrdiff_t token) {
    candidates_[0] = {static_cast<token_id>(token), 1.0f};
    return candidates_.first(1);
  }

  /// Tokens of at least this weight, none of weight 0; ids rising.
  candidates above(float least);

  /// The top_k tokens, in no order. A heap of the best so far, whose front is the worst of them.
  candidates best_k();

  /// What top_p and min_p leave of `from`, ids rising. `total` is the weight that top_p is a part
  /// of; NaN stands for the weight of `from`.
  candidates cut(candidates from, double total);

  /// Turns weights into probabilities.
  static candidates normalized(candidates tokens);

  sampling options_;
  arena memory_;
  std::span<float> weights_;                 // [vocab], 1 for the most probable token
  std::span<token_probability> candidates_;  // [vocab]
  token_window recent_;                      // no tokens without penalties
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/sampling/sampler.inl.hpp>
#endif
