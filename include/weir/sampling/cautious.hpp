// Cautious next-token prediction: where the model is unsure of the next token, go on in several
// ways to the end of the phrase, and take the one it was surest of. arXiv 2507.03038, code
// github.com/wyzjack/CNTP.
//
// A decoding law of its own: neither lossless nor an approximation of sampling. The tokens that
// come are no draws from the model's law, and likely phrases come more often than they would.
//
// Deviations. 10 trials at most, as in the authors' scripts; their code takes 40 where nobody says.
// Trials have a longest length; theirs run on until a mark comes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

/// When to try, how often, and how far.
struct cautious {
  std::size_t least = 1;     ///< trials at an entropy of `low` or less; 1: an ordinary draw
  std::size_t most = 10;     ///< trials at `high` or more, at most 64; 1: never try
  double low = 0.01;         ///< entropy of the law that draws follow, nats
  double high = 1.5;         ///< above `low`
  std::size_t longest = 64;  ///< tokens after which a trial ends anyhow, at most 4096
  std::string marks = ".,\n?!:;)]}";  ///< a trial ends with a token whose text ends with one

  static constexpr std::size_t most_trials = 64, most_tokens = 4096;

  /// Throws `error::bad_config` for values out of range.
  void validate() const {
    using error::bad_config, error::require;
    require<bad_config>(least > 0 && least <= most && most <= most_trials, "cautious: ", least,
                        " to ", most, " trials (expected 1 <= least <= most <= ", most_trials, ")");
    require<bad_config>(std::isfinite(low) && std::isfinite(high) && low >= 0 && low < high,
                        "cautious: entropies of ", low, " to ", high,
                        " (expected finite numbers, 0 <= low < high)");
    require<bad_config>(longest > 0 && longest <= most_tokens, "cautious.longest: ", longest,
                        " (expected 1 to ", most_tokens, ")");
  }

  /// How many ways to try where the entropy is `nats`.
  std::size_t trials(double nats) const {
    const double part = std::clamp((nats - low) / (high - low), 0.0, 1.0);
    return static_cast<std::size_t>(static_cast<double>(least) +
                                    static_cast<double>(most - least) * part);
  }
};

/// Entropy, nats, of a law such as `sampler::distribution` gives. The same bits on every machine.
/// O(tokens).
inline double entropy(std::span<const token_probability> law) {
  double nats = 0;
  for (const token_probability& t : law)
    nats -= double{t.probability} * elementary::log(double{t.probability});
  return nats;
}

/// How probable a token is under a law, ids rising; 0 if it cannot be drawn. O(log tokens).
inline double probability_of(std::span<const token_probability> law, token_id id) {
  const auto at = std::lower_bound(
      law.begin(), law.end(), id,
      [](const token_probability& t, token_id wanted) { return t.token < wanted; });
  return at != law.end() && at->token == id ? double{at->probability} : 0;
}

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
inline std::vector<std::uint8_t> tokens_that_end(const tokenizer& vocabulary,
                                                 std::string_view marks) {
  std::vector<std::uint8_t> ends(vocabulary.vocab_size());
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto id = static_cast<token_id>(i);
    const token_kind kind = vocabulary.kind(id);
    const bool is_text =
        kind == token_kind::normal || kind == token_kind::user_defined || kind == token_kind::byte;
    ends[i] = is_text && ends_with_mark(vocabulary.piece(id), marks) ? 1 : 0;
  }
  return ends;
}

}  // namespace weir::inline WEIR_TARGET
