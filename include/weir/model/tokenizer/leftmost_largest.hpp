// The largest of many numbers that change one at a time, the leftmost of equals.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// A queue by priority whose places are fixed: it never holds what has gone. 4.6 bytes of memory a
/// number, and no more while it is in use.
class leftmost_largest {
 public:
  static constexpr float least = -std::numeric_limits<float>::infinity();

  /// `n` numbers, fewer than 2³¹, all of them `least`. O(n).
  void assign(std::size_t n);

  /// Number `i` becomes `value`, which is no NaN. O(log n). Raises `steps` by the numbers looked
  /// at.
  void set(std::size_t i, float value, std::uint64_t& steps);

  /// The largest number; `least` if there are no others.
  float largest() const { return values_[begins_[levels_ - 1]]; }
  /// Where the leftmost of the largest is. O(log n).
  std::size_t index(std::uint64_t& steps) const;

 private:
  static constexpr std::size_t fan = 8;

  // Level 0 holds the numbers; each further one the largest of every `fan` of the level below; the
  // last one the largest of all.
  std::vector<float> values_;
  std::array<std::size_t, 13>
      begins_{};  // [level] in values_; the level ends where the next begins
  std::size_t levels_ = 0;
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/leftmost_largest.inl.hpp>
#endif
