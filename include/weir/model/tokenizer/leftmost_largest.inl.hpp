// Bodies of model/tokenizer/leftmost_largest.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/model/tokenizer/leftmost_largest.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE void leftmost_largest::assign(std::size_t n) {
  std::size_t size = 0;
  levels_ = 0;
  for (std::size_t count = n;; count = (count + fan - 1) / fan) {
    begins_[levels_++] = size;
    size += count;
    if (count <= 1) break;
  }
  begins_[levels_] = size;
  if (size > values_.capacity())
    values_ = std::vector<float>();  // not the old ones beside the new ones
  values_.assign(size, least);
}

WEIR_INLINE void leftmost_largest::set(std::size_t i, float value, std::uint64_t& steps) {
  for (std::size_t level = 0;; ++level) {
    ++steps;
    const float old = std::exchange(values_[begins_[level] + i], value);
    if (level + 1 == levels_) return;
    const float above = values_[begins_[level + 1] + i / fan];
    if (old < above && value <= above) return;
    if (value < above) {  // the largest, or one of them, has become smaller
      const std::size_t first = begins_[level] + i / fan * fan;
      const std::size_t end = std::min(first + fan, begins_[level + 1]);
      for (std::size_t j = first; j < end; ++j) value = std::max(value, values_[j]);
      steps += end - first;
      if (value == above) return;
    }
    i /= fan;
  }
}

WEIR_INLINE std::size_t leftmost_largest::index(std::uint64_t& steps) const {
  const float wanted = largest();
  std::size_t i = 0;
  for (std::size_t level = levels_ - 1; level-- > 0;) {
    i *= fan;
    while (values_[begins_[level] + i] != wanted) ++i, ++steps;
    ++steps;
  }
  return i;
}

}  // namespace weir::inline WEIR_TARGET::detail
