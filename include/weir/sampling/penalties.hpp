// Penalties on what was said lately.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/sampling/sampling.hpp>
#include <weir/sampling/token_window.hpp>

namespace weir::inline WEIR_TARGET {

/// Copies logits `[vocabulary]` to `out` and lowers those of the tokens in `recent` as `how` says.
/// NaN and infinities stay what they are. The result depends on how often a token is in the window,
/// not on where. O(vocabulary + window).
inline void penalize(std::span<const float> logits, const token_window& recent, const sampling& how,
                     std::span<float> out) {
  std::copy(logits.begin(), logits.end(), out.begin());
  // Always from the original, so that a token that comes twice is not penalized twice.
  for (const auto part : recent.tokens())
    for (const token_id id : part) {
      const auto i = static_cast<std::size_t>(id);
      const float x = logits[i];
      out[i] =
          (x > 0 ? x / how.repetition_penalty : x * how.repetition_penalty) - how.presence_penalty;
    }
  if (how.frequency_penalty == 0) return;
  for (const auto part : recent.tokens())
    for (const token_id id : part) out[static_cast<std::size_t>(id)] -= how.frequency_penalty;
}

}  // namespace weir::inline WEIR_TARGET
