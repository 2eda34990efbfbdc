// What policies that go by log-probabilities are told of tokens that were fed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/sampling/log_probability.hpp>

namespace weir::inline WEIR_TARGET {

/// Tokens that have been through the layers.
struct fed_tokens {
  std::span<const token_id> tokens;  ///< these, and behind them the one that is next, if known
  std::size_t count = 0;             ///< of these
  std::size_t first_row = 0;         ///< of the pass
  std::uint64_t first_index = 0;     ///< of the stream
};

/// Tells a cache how probable each token but the first was, under the logits of the row before it.
/// Returns the same of the next token, if that is known. `scratch` `[rows, vocabulary]`: so many
/// rows' logits are worked out at once.
template <class Cache, class Pass>
std::optional<float> tell_fed(Cache& cache, Pass& pass, const fed_tokens& fed,
                              std::size_t vocabulary, std::span<float> scratch) {
  std::optional<float> next;
  const std::size_t last = std::min(fed.count + 1, fed.tokens.size()),
                    group = scratch.size() / vocabulary;
  for (std::size_t i = 1; i < last; i += group) {
    const std::size_t n = std::min(group, last - i);
    pass.logits(fed.first_row + i - 1, n, scratch.data());
    for (std::size_t j = 0; j < n; ++j) {
      const auto value = static_cast<float>(
          log_probability(scratch.subspan(j * vocabulary, vocabulary), fed.tokens[i + j]));
      if (i + j < fed.count)
        cache.tell_log_probability(fed.first_index + i + j, value);
      else
        next = value;
    }
  }
  return next;
}

}  // namespace weir::inline WEIR_TARGET
