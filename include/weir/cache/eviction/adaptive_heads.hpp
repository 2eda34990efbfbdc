// Adaptive head budgets: a layer's entries go to the heads that have most to choose from.
// Ada-KV, arXiv 2407.11550, section 3.
//
// The largest scores of all heads together win; a head's share is its winners, mixed with an equal
// share so that no head starves. Works around any scoring member.
//
// Deviations. The authors' code rounds every head's share by itself and may lose entries; here
// shares are apportioned by largest remainder, so that the sum is exact. No head gets more than it
// has to choose from, as long as some head has. Equal scores at the edge win in order of the heads.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include <weir/cache/eviction/apportion.hpp>
#include <weir/cache/eviction/concept.hpp>

namespace weir {

namespace detail {

/// A score as a number whose order is the score's; NaN lowest.
inline std::uint32_t score_rank(float score) {
  if (std::isnan(score)) return 0;
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes +0
  return bits >> 31 != 0 ? ~bits : bits | 1u << 31;
}

template <class Use>
void for_each_candidate(const head_scores& scores, std::size_t head, Use use) {
  for (std::size_t i = 0; i < scores.size(head); ++i)
    if (!scores.is_taken(head, i)) use(score_rank(scores[head][i]));
}

}  // namespace detail

/// Which scores are among the `places` largest of all heads: those above `rank`, and the first
/// `ties` that equal it. Four passes, a byte each.
struct winning_scores {
  std::uint32_t rank = 0;
  std::size_t ties;

  winning_scores(const head_scores& scores, std::size_t places) : ties(places) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      std::array<std::size_t, 256> count{};
      for (std::size_t h = 0; h < scores.heads(); ++h)
        detail::for_each_candidate(scores, h, [&](std::uint32_t r) {
          if (std::uint64_t{r} >> (shift + 8) == std::uint64_t{rank} >> (shift + 8))
            ++count[r >> shift & 255];
        });
      std::uint32_t digit = 255;
      for (; digit > 0 && count[digit] < ties; --digit) ties -= count[digit];
      rank |= digit << shift;
    }
  }
};

template <scoring_claim Base>
struct adaptive_heads : Base {
  float alpha = 0.2f;  ///< of every head's share that is equal

  adaptive_heads() = default;
  explicit adaptive_heads(Base base, float a = 0.2f) : Base(std::move(base)), alpha(a) {}

  void apportion(const head_scores& scores, std::span<std::size_t> budgets) const {
    const std::size_t heads = scores.heads(), total = heads * this->budget;
    const winning_scores wins(scores, total);
    // Counted once for as many heads as models have, and as often as it takes beyond.
    std::array<tally, 64> counted;
    for (std::size_t h = 0; h < std::min(heads, counted.size()); ++h)
      counted[h] = count(scores, wins, h);
    const auto of = [&](std::size_t h) {
      return h < counted.size() ? counted[h] : count(scores, wins, h);
    };
    std::size_t candidates = 0;
    for (std::size_t h = 0; h < heads; ++h) candidates += of(h).candidates;
    const auto mixed = [&](std::size_t h) {
      return (1 - double{alpha}) * static_cast<double>(of(h).winners) +
             double{alpha} * static_cast<double>(this->budget);
    };
    const auto has = [&](std::size_t h) { return of(h).candidates; };
    if (candidates <= total)
      weir::apportion(
          total, mixed, has, [=](std::size_t) { return total; }, budgets);
    else
      weir::apportion(
          total, mixed, [](std::size_t) { return std::size_t{0}; }, has, budgets);
  }

 private:
  struct tally {
    std::size_t candidates = 0, winners = 0;
  };
  static tally count(const head_scores& scores, const winning_scores& wins, std::size_t head) {
    tally t;
    std::size_t ties = wins.ties;
    for (std::size_t h = 0; h < head && ties > 0; ++h)
      detail::for_each_candidate(scores, h,
                                 [&](std::uint32_t r) { ties -= r == wins.rank && ties; });
    detail::for_each_candidate(scores, head, [&](std::uint32_t r) {
      ++t.candidates;
      if (r > wins.rank) ++t.winners;
      if (r == wins.rank && ties > 0) ++t.winners, --ties;
    });
    return t;
  }
};

}  // namespace weir
