// Log-probabilities, for those who ask.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// Natural log of softmax(logits)[id], in f64. `logits` is `[vocabulary]`, `id` one of it.
/// O(vocabulary).
inline double log_probability(std::span<const float> logits, token_id id) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float x : logits) total += elementary::exp(x - top);
  return logits[static_cast<std::size_t>(id)] - top - elementary::log(total);
}

}  // namespace weir::inline WEIR_TARGET
