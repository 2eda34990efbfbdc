// Clocks, medians and means.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <vector>

namespace weir_bench {

/// Seconds that `body()` takes.
template <class Body>
double seconds_of(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of an even number the mean of the two in the middle.
inline double median(std::vector<double> x) {
  const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  if (x.size() % 2 != 0) return *middle;
  return (*std::max_element(x.begin(), middle) + *middle) / 2;
}

/// A mean and its standard error, of at least two numbers.
struct mean_error {
  double mean = 0, error = 0;
  explicit mean_error(const std::vector<double>& x) {
    const auto n = static_cast<double>(x.size());
    for (const double v : x) mean += v / n;
    for (const double v : x) error += (v - mean) * (v - mean);
    error = std::sqrt(error / (n * (n - 1)));
  }
};

}  // namespace weir_bench
