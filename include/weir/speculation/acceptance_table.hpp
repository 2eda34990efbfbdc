// How often drafts were accepted, by how sure the drafter was of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Estimates the chance that a draft is accepted once it is its turn: from what became of drafts
/// like it, and before there are many from the drafter's own probability.
///
/// Drafts are alike that are tried as early among their siblings, and that the drafter gave about
/// the same share of what was left. Old outcomes fade. O(1) each.
class acceptance_table {
 public:
  /// What kind of draft one is: `rank` siblings are tried before it, `share` is its part of the
  /// distribution that they left.
  struct cell {
    std::uint8_t rank, bucket;
  };
  static cell cell_of(std::size_t rank, double share) {
    constexpr double edges[buckets - 1] = {.01, .02, .05, .1, .15, .25, .35, .5, .65, .8, .9};
    return {static_cast<std::uint8_t>(std::min(rank, ranks - 1)),
            static_cast<std::uint8_t>(std::upper_bound(std::begin(edges), std::end(edges), share) -
                                      std::begin(edges))};
  }

  double estimate(cell c, double share) const {
    const counts& n = counts_[c.rank][c.bucket];
    return (n.accepted + prior * share) / (n.tried + prior);
  }
  void learn(cell c, bool accepted) {
    counts& n = counts_[c.rank][c.bucket];
    n.tried += 1;
    n.accepted += accepted ? 1 : 0;
    if (n.tried < most) return;
    n.tried /= 2;
    n.accepted /= 2;
  }
  void reset() { counts_ = {}; }

 private:
  static constexpr std::size_t ranks = 4, buckets = 12;
  static constexpr double prior = 4;   // drafts that the drafter's own word counts for
  static constexpr double most = 512;  // outcomes of a kind; then they count half
  struct counts {
    double tried = 0, accepted = 0;
  };
  std::array<std::array<counts, buckets>, ranks> counts_ = {};
};

}  // namespace weir::inline WEIR_TARGET
