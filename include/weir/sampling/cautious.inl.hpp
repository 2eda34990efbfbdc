// Bodies of sampling/cautious.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/sampling/cautious.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void cautious::validate() const {
  using error::bad_config, error::require;
  require<bad_config>(least > 0 && least <= most && most <= max_trials, "cautious: ", least, " to ",
                      most, " trials (expected 1 <= least <= most <= ", max_trials, ")");
  require<bad_config>(std::isfinite(low) && std::isfinite(high) && low >= 0 && low < high,
                      "cautious: entropies of ", low, " to ", high,
                      " (expected finite numbers, 0 <= low < high)");
  require<bad_config>(longest > 0 && longest <= max_tokens, "cautious.longest: ", longest,
                      " (expected 1 to ", max_tokens, ")");
}

WEIR_INLINE std::size_t cautious::trials(double nats) const {
  const double part = std::clamp((nats - low) / (high - low), 0.0, 1.0);
  return static_cast<std::size_t>(static_cast<double>(least) +
                                  static_cast<double>(most - least) * part);
}

WEIR_INLINE double entropy(std::span<const token_probability> distribution) {
  double nats = 0;
  for (const token_probability& t : distribution)
    nats -= double{t.probability} * elementary::log(double{t.probability});
  return nats;
}

WEIR_INLINE double probability_of(std::span<const token_probability> distribution, token_id id) {
  const auto at = std::lower_bound(
      distribution.begin(), distribution.end(), id,
      [](const token_probability& t, token_id wanted) { return t.token < wanted; });
  return at != distribution.end() && at->token == id ? double{at->probability} : 0;
}

WEIR_INLINE std::vector<std::uint8_t> tokens_that_end(const tokenizer& vocabulary,
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
