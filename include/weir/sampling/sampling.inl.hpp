// Bodies of sampling/sampling.hpp.
#pragma once

#include <cmath>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE sampling sampling::without_penalties() const {
  sampling s = *this;
  s.repetition_penalty = 1;
  s.presence_penalty = s.frequency_penalty = 0;
  return s;
}

WEIR_INLINE void sampling::validate() const {
  error::require<error::bad_config>(std::isfinite(temperature) && temperature >= 0,
                                    "temperature: ", temperature,
                                    " (expected a finite number, at least 0)");
  error::require<error::bad_config>(top_p > 0 && top_p <= 1, "top_p: ", top_p,
                                    " (expected above 0, at most 1)");
  error::require<error::bad_config>(min_p >= 0 && min_p < 1, "min_p: ", min_p,
                                    " (expected at least 0, below 1)");
  error::require<error::bad_config>(std::isfinite(repetition_penalty) && repetition_penalty > 0,
                                    "repetition_penalty: ", repetition_penalty,
                                    " (expected a finite number above 0)");
  error::require<error::bad_config>(std::isfinite(presence_penalty),
                                    "presence_penalty: ", presence_penalty,
                                    " (expected a finite number)");
  error::require<error::bad_config>(std::isfinite(frequency_penalty),
                                    "frequency_penalty: ", frequency_penalty,
                                    " (expected a finite number)");
  error::require<error::bad_config>(repeat_last > 0 && repeat_last <= max_repeat_last,
                                    "repeat_last: ", repeat_last, " (expected 1 to ",
                                    max_repeat_last, ")");
  error::require<error::bad_config>(draw == draw_rule::inverse_cdf || draw == draw_rule::gumbel,
                                    "draw: ", static_cast<int>(draw),
                                    " (expected draw_rule::inverse_cdf or draw_rule::gumbel)");
}

}  // namespace weir::inline WEIR_TARGET
