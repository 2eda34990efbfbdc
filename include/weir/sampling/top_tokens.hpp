// The most probable tokens, in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// Fills `best` with the tokens of the largest logits, the largest first; on ties the lower id
/// comes first. `logits` `[vocabulary]` has no fewer elements than `best`, and no NaN. O(vocabulary
/// · log best), mostly one comparison a token.
inline void top_tokens(std::span<const float> logits, std::span<token_id> best) {
  if (best.empty()) return;
  const auto better = [&](token_id a, token_id b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::size_t found = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<token_id>(i);
    if (found == best.size()) {
      if (!better(id, best.back())) continue;
      --found;
    }
    const auto at = std::upper_bound(best.begin(),
                                     best.begin() + static_cast<std::ptrdiff_t>(found), id, better);
    std::copy_backward(at, best.begin() + static_cast<std::ptrdiff_t>(found),
                       best.begin() + static_cast<std::ptrdiff_t>(found) + 1);
    *at = id;
    ++found;
  }
}

}  // namespace weir::inline WEIR_TARGET
