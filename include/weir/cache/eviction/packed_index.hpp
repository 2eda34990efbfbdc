// Numbers of entries in the floats that a policy works in: all 32 bits count, none is computed
// with. And the list of candidates that policies who decide by layer start from.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/cache/eviction/slots_view.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

inline float packed(std::size_t i) { return std::bit_cast<float>(static_cast<std::uint32_t>(i)); }
inline std::uint32_t unpacked(float x) { return std::bit_cast<std::uint32_t>(x); }

/// Orders packed indices by score, the largest first, and the older first among equals.
inline auto best_first(std::span<const float> score) {
  return [score](float a, float b) {
    const std::uint32_t i = unpacked(a), j = unpacked(b);
    return score[i] != score[j] ? score[i] > score[j] : i < j;
  };
}

/// Of the entries still to be had: sums the heads' scores in `sum` `[entry]`, −∞ for NaN, and lists
/// packed indices in `order`, in stream order. Returns how many there are.
inline std::size_t sum_candidates(const head_scores& scores, const selection& open,
                                  std::span<float> sum, std::span<float> order) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (open.is_taken(i)) continue;
    sum[i] = 0;
    for (std::size_t h = 0; h < scores.heads(); ++h) sum[i] += scores[h][i];
    if (std::isnan(sum[i])) sum[i] = -std::numeric_limits<float>::infinity();
    order[n++] = packed(i);
  }
  return n;
}

}  // namespace weir::inline WEIR_TARGET::detail
