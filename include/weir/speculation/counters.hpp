// What speculation did.
#pragma once

#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Since the stream was made or reset. Rounds are passes of the target that gave tokens.
struct speculation_counters {
  std::uint64_t rounds = 0;
  std::uint64_t drafted = 0;      ///< rounds in which something was
  std::uint64_t fully = 0;        ///< of these, those whose way down ended in a leaf
  std::uint64_t partly = 0;       ///< and those in which some, not all of a path was accepted
  std::uint64_t not_at_all = 0;   ///< and the rest
  std::uint64_t clipped = 0;      ///< rounds with less room for drafts than the drafter's limits
  std::uint64_t proposed = 0;     ///< drafts
  std::uint64_t accepted = 0;     ///< of these
  std::uint64_t corrections = 0;  ///< tokens that took the place of a draft
  std::uint64_t bonus = 0;        ///< tokens behind a leaf of the tree
  double draft_seconds = 0;       ///< spent in drafters
  double verify_seconds = 0;      ///< spent in the target's passes, and on verifications
};

}  // namespace weir::inline WEIR_TARGET
