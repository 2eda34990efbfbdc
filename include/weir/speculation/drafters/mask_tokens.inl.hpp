// Bodies of speculation/drafters/mask_tokens.hpp.
#pragma once

#include <vector>

#include <weir/core/target.hpp>
#include <weir/speculation/best_mask_plan.hpp>
#include <weir/speculation/drafters/mask_tokens.hpp>
#include <weir/speculation/mask_plan.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE const mask_plan& assumed_mask_plan() {
  static const mask_plan plan = best_mask_plan(
      std::vector<std::vector<double>>{{.5, .15, .07}, {.35, .1, .06}, {.25, .08, .05}}, 16);
  return plan;
}

}  // namespace weir::inline WEIR_TARGET
