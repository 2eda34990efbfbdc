// What a pass takes, by its rows.
#pragma once

#include <cstddef>
#include <vector>

#include <weir/core/checked_size.hpp>
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
    return checked_product(most, 3 * sizeof(double) + sizeof(float) + sizeof(std::size_t));
  }

  /// Passes over more rows than there is room for are not taken in. What took much longer or less
  /// than usual counts as twice, or half. O(most).
  void learn(std::size_t rows, double seconds);
  /// Rows that there is room for.
  std::size_t most() const { return mean_.size(); }
  /// True if any pass was measured.
  bool known() const { return points_ > 0; }

  /// Seconds of a pass over so many rows, which may be in between. Below what was measured as
  /// there; beyond, as the last two go on. Only where `known`. O(log most).
  double operator()(double rows) const;

  void reset();

 private:
  /// Pools neighbours until means rise.
  void fit();

  std::vector<double> mean_;        // [rows - 1]
  std::vector<float> count_;        // [rows - 1] passes, at most 16: from there on the mean forgets
  std::vector<double> level_;       // [point] what is believed
  std::vector<double> weight_;      // [point]
  std::vector<std::size_t> known_;  // [point] its rows
  std::size_t points_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/pass_times.inl.hpp>
#endif
