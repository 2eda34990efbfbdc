// Bodies of speculation/pass_times.hpp.
#pragma once

#include <algorithm>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/speculation/pass_times.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void pass_times::learn(std::size_t rows, double seconds) {
  if (rows == 0 || rows > mean_.size()) return;
  double& mean = mean_[rows - 1];
  float& count = count_[rows - 1];
  if (count > 0) seconds = std::clamp(seconds, mean / 2, mean * 2);
  count = std::min(count + 1, 16.f);
  mean += (seconds - mean) / static_cast<double>(count);
  fit();
}

WEIR_INLINE double pass_times::operator()(double rows) const {
  const auto end = known_.begin() + static_cast<std::ptrdiff_t>(points_);
  auto high = std::lower_bound(known_.begin(), end, rows, [](std::size_t known, double wanted) {
    return static_cast<double>(known) < wanted;
  });
  if (high == known_.begin()) return level_[0];
  if (high == end) --high;
  const auto i = static_cast<std::size_t>(high - known_.begin());
  if (i == 0) return level_[0];
  const auto from = static_cast<double>(known_[i - 1]), to = static_cast<double>(known_[i]);
  return level_[i - 1] + (level_[i] - level_[i - 1]) * (rows - from) / (to - from);
}

WEIR_INLINE void pass_times::reset() {
  std::fill(mean_.begin(), mean_.end(), 0);
  std::fill(count_.begin(), count_.end(), 0);
  points_ = 0;
}

WEIR_INLINE void pass_times::fit() {
  points_ = 0;
  for (std::size_t n = 0; n < mean_.size(); ++n)
    if (count_[n] > 0) known_[points_++] = n + 1;
  for (std::size_t i = 0; i < points_; ++i) {
    level_[i] = mean_[known_[i] - 1];
    weight_[i] = static_cast<double>(count_[known_[i] - 1]);
    // A pool's weight lies at its last point, its level at all of them.
    std::size_t first = i;
    while (first > 0 && level_[first - 1] >= level_[i]) {
      const double both = weight_[first - 1] + weight_[i];
      const double level = (level_[first - 1] * weight_[first - 1] + level_[i] * weight_[i]) / both;
      const double old = level_[first - 1];
      while (first > 0 && level_[first - 1] == old) --first;
      for (std::size_t j = first; j <= i; ++j) level_[j] = level;
      weight_[i] = both;
    }
  }
}

}  // namespace weir::inline WEIR_TARGET
