// Cautious next-token prediction: where the model is unsure of the next token, go on in several
// ways to the end of the phrase, and take the one it was surest of. arXiv 2507.03038, code
// github.com/wyzjack/CNTP.
//
// A decoding distribution of its own: neither lossless nor an approximation of sampling. The tokens
// that come are no draws from the model's distribution, and likely phrases come more often than
// they would.
//
// Deviations. 10 trials at most, as in the authors' scripts; their code takes 40 where nobody says.
// Trials have a longest length; theirs run on until a mark comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

/// When to try, how often, and how far.
struct cautious {
  std::size_t least = 1;     ///< trials at an entropy of `low` or less; 1: an ordinary draw
  std::size_t most = 10;     ///< trials at `high` or more, at most 64; 1: never try
  double low = 0.01;         ///< entropy of the distribution that draws follow, nats
  double high = 1.5;         ///< above `low`
  std::size_t longest = 64;  ///< tokens after which a trial ends anyhow, at most 4096
  std::string marks = ".,\n?!:;)]}";  ///< a trial ends with a token whose text ends with one

  static constexpr std::size_t max_trials = 64, max_tokens = 4096;

  /// Throws `error::bad_config` for values out of range.
  void validate() const;

  /// How many ways to try where the entropy is `nats`.
  std::size_t trials(double nats) const;
};

/// Entropy, nats, of a distribution such as `sampler::distribution` gives. The same bits on every
/// machine. O(tokens).
double entropy(std::span<const token_probability> distribution);

/// How probable a token is under a distribution, ids rising; 0 if it cannot be drawn. O(log
/// tokens).
double probability_of(std::span<const token_probability> distribution, token_id id);

/// How sure a model was of what it said.
struct trial_score {
  double nats = 0;  ///< Σ −log p
  std::size_t tokens = 0;

  /// Adds a token that was drawn with this probability. The same bits on every machine.
  void add(double probability) {
    nats -= elementary::log(probability);
    ++tokens;
  }
  /// Of a token; at least one has come.
  double mean() const { return nats / static_cast<double>(tokens); }
  double perplexity() const { return elementary::exp(mean()); }
};

/// True if `text`, blanks behind it left out, ends with one of `marks`: " ," and "word." do, and
/// so does a line's end with an indent behind it; ".5" does not.
inline bool ends_with_mark(std::string_view text, std::string_view marks) {
  const std::size_t end = text.find_last_not_of(" \t");
  return end != std::string_view::npos && marks.find(text[end]) != std::string_view::npos;
}

/// For each token of a vocabulary 1 if a trial ends with it, else 0. Only text counts: control and
/// unknown tokens end none, however they are spelled.
std::vector<std::uint8_t> tokens_that_end(const tokenizer& vocabulary, std::string_view marks);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/sampling/cautious.inl.hpp>
#endif
