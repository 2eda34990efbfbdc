// How often drafts turn out right.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// A mean over drafts whose fate was decided, which forgets: of `memory` drafts at most. It
/// starts from one half, and never gets to 0 or 1.
class acceptance_rate {
 public:
  explicit acceptance_rate(double memory) : keep_(1 - 1 / memory) {}

  /// `accepted` drafts were right; if `rejected`, another was wrong. Drafts behind a wrong one
  /// were never decided. O(accepted).
  void learn(std::size_t accepted, bool rejected) {
    for (std::size_t i = 0; i < accepted; ++i) decide(1);
    if (rejected) decide(0);
  }
  double rate() const { return (right_ + 1) / (decided_ + 2); }
  void reset() { right_ = decided_ = 0; }

 private:
  void decide(double right) {
    right_ = right_ * keep_ + right;
    decided_ = decided_ * keep_ + 1;
  }

  double keep_;  // of what is known, a draft later
  double right_ = 0, decided_ = 0;
};

}  // namespace weir::inline WEIR_TARGET
