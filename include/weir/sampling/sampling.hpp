// How the next token is chosen, as options.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/error.hpp>
#include <weir/core/token.hpp>

namespace weir {

/// Applied in this order: temperature; then the top_k most probable tokens; then, of these, the
/// fewest most probable ones that together reach top_p; then, of these, the ones at least min_p
/// times as probable as the most probable. On ties the lower id is the more probable.
struct sampling {
  float temperature = 0.8f;  ///< divides logits; 0: always the most probable token
  std::size_t top_k = 0;     ///< 0: off
  float top_p = 1;           ///< in (0, 1]; 1: off. Holtzman et al., arXiv 1904.09751
  float min_p = 0;           ///< in [0, 1); 0: off. Nguyen et al., arXiv 2407.01082

  /// Throws `error::bad_config` for values out of range.
  void validate() const {
    error::require<error::bad_config>(std::isfinite(temperature) && temperature >= 0,
                                      "temperature: ", temperature,
                                      " (expected a finite number, at least 0)");
    error::require<error::bad_config>(top_p > 0 && top_p <= 1, "top_p: ", top_p,
                                      " (expected above 0, at most 1)");
    error::require<error::bad_config>(min_p >= 0 && min_p < 1, "min_p: ", min_p,
                                      " (expected at least 0, below 1)");
  }
};

/// One token that may be drawn.
struct token_probability {
  token_id token = 0;
  float probability = 0;
  friend bool operator==(const token_probability&, const token_probability&) = default;
};

}  // namespace weir
