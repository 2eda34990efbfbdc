// How the next token is chosen, as options.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// How a token is drawn from the probabilities that are left. Both ways follow them exactly.
enum class draw_rule : std::uint8_t {
  inverse_cdf,  ///< one random number a draw
  gumbel,       ///< one for each token: streams that share randomness tend to agree (gumbel.hpp)
};

/// Applied in this order: penalties; then temperature; then the top_k most probable tokens; then,
/// of these, the fewest most probable ones that together reach top_p; then, of these, the ones at
/// least min_p times as probable as the most probable. On ties the lower id is the more probable.
///
/// What is left, renormalized, is the distribution that draws follow, and that lossless speculation
/// preserves: not the model's own.
struct sampling {
  float temperature = 0.8f;  ///< divides logits; 0: always the most probable token
  std::size_t top_k = 0;     ///< 0: off
  float top_p = 1;           ///< in (0, 1]; 1: off. Holtzman et al., arXiv 1904.09751
  float min_p = 0;           ///< in [0, 1); 0: off. Nguyen et al., arXiv 2407.01082

  /// Penalties change the logits of tokens that are among the last `repeat_last` of the stream,
  /// prompts included. First, positive ones are divided by `repetition_penalty` and others
  /// multiplied by it (Keskar et al., arXiv 1909.05858); then `presence_penalty` is subtracted, and
  /// `frequency_penalty` as often as the token is among them.
  float repetition_penalty = 1;  ///< above 0; 1: off
  float presence_penalty = 0;    ///< 0: off
  float frequency_penalty = 0;   ///< 0: off
  std::size_t repeat_last = 64;  ///< at least 1

  draw_rule draw = draw_rule::inverse_cdf;

  /// The longest window of tokens.
  static constexpr std::size_t max_repeat_last = std::size_t{1} << 24;

  /// Whether what was said before matters.
  bool penalizes() const {
    return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
  }

  /// The same, whatever was said before.
  sampling without_penalties() const;

  /// Throws `error::bad_config` for values out of range.
  void validate() const;
};

/// One token that may be drawn.
struct token_probability {
  token_id token = 0;
  float probability = 0;
  friend bool operator==(const token_probability&, const token_probability&) = default;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/sampling/sampling.inl.hpp>
#endif
