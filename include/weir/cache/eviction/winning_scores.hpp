// The largest scores of some heads, without sorting them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/cache/eviction/slots_view.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// A score as a number whose order is the score's; NaN with −∞.
inline std::uint32_t score_rank(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes +0
  // Negative ones count down, below the others. No branch: nobody could foresee which way it goes.
  const auto flipped = static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31);
  const std::uint32_t rank = bits ^ (flipped | 1u << 31);
  constexpr std::uint32_t lowest =
      ~std::bit_cast<std::uint32_t>(-std::numeric_limits<float>::infinity());
  return score == score ? rank : lowest;
}

/// Calls `use(i, rank)` for each entry of a head that is still to be had, in stream order.
template <class Use>
void for_each_candidate(const head_scores& scores, std::size_t head, Use use) {
  for (std::size_t i = 0; i < scores.size(head); ++i)
    if (!scores.is_taken(head, i)) use(i, score_rank(scores[head][i]));
}

/// Which candidates of heads [first, last) are among the `places` largest: those above `rank`, and
/// the first `ties` that equal it. Four passes over the scores, a byte each.
struct winning_scores {
  std::uint32_t rank = 0;
  std::size_t ties;

  winning_scores(const head_scores& scores, std::size_t first, std::size_t last, std::size_t places)
      : ties(places) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      std::array<std::size_t, 256> count{};
      for (std::size_t h = first; h < last; ++h)
        for_each_candidate(scores, h, [&](std::size_t, std::uint32_t r) {
          if (std::uint64_t{r} >> (shift + 8) == std::uint64_t{rank} >> (shift + 8))
            ++count[r >> shift & 255];
        });
      std::uint32_t digit = 255;
      for (; digit > 0 && count[digit] < ties; --digit) ties -= count[digit];
      rank |= digit << shift;
    }
  }

  /// Asked for one candidate after the other, in order: true if it is one of them.
  bool admit(std::uint32_t r) {
    if (r != rank) return r > rank;
    return ties > 0 && (--ties, true);
  }
};

}  // namespace weir::inline WEIR_TARGET
