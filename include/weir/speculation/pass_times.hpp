// What a pass takes, by its rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Seconds of passes over 1 to `most` rows, as measured lately: a mean for each number of rows,
/// made to rise with the rows (the least change, by squares, that does), straight lines between
/// them. Nothing is allocated after construction.
class pass_times {
 public:
  explicit pass_times(std::size_t most)
      : mean_(most), count_(most), level_(most), weight_(most), known_(most) {
    error::require<error::bad_config>(most > 0, "pass_times: 0 rows (expected 1 at least)");
  }
  static std::size_t required_bytes(std::size_t most) {
    return most * (3 * sizeof(double) + sizeof(float) + sizeof(std::size_t));
  }

  /// Passes over more rows than there is room for are not taken in. What took much longer or less
  /// than usual counts as twice, or half. O(most).
  void learn(std::size_t rows, double seconds) {
    if (rows == 0 || rows > mean_.size()) return;
    double& mean = mean_[rows - 1];
    float& count = count_[rows - 1];
    if (count > 0) seconds = std::clamp(seconds, mean / 2, mean * 2);
    count = std::min(count + 1, 16.f);
    mean += (seconds - mean) / static_cast<double>(count);
    fit();
  }
  /// Rows that there is room for.
  std::size_t most() const { return mean_.size(); }
  /// True if any pass was measured.
  bool known() const { return points_ > 0; }

  /// Seconds of a pass over so many rows, which may be in between. Below what was measured as
  /// there; beyond, as the last two go on. Only where `known`. O(log most).
  double operator()(double rows) const {
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

  void reset() {
    std::fill(mean_.begin(), mean_.end(), 0);
    std::fill(count_.begin(), count_.end(), 0);
    points_ = 0;
  }

 private:
  /// Pools neighbours until means rise.
  void fit() {
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
        const double level =
            (level_[first - 1] * weight_[first - 1] + level_[i] * weight_[i]) / both;
        const double old = level_[first - 1];
        while (first > 0 && level_[first - 1] == old) --first;
        for (std::size_t j = first; j <= i; ++j) level_[j] = level;
        weight_[i] = both;
      }
    }
  }

  std::vector<double> mean_;        // [rows - 1]
  std::vector<float> count_;        // [rows - 1] passes, at most 16: from there on the mean forgets
  std::vector<double> level_;       // [point] what is believed
  std::vector<double> weight_;      // [point]
  std::vector<std::size_t> known_;  // [point] its rows
  std::size_t points_ = 0;
};

}  // namespace weir::inline WEIR_TARGET
