// Weighted k-means: a few centroids that stand for many points, each with its points' weight.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::reducers {

struct clusters {
  std::vector<float> centroid;     ///< [cluster, width]
  std::vector<std::size_t> label;  ///< [point]
  std::vector<double> weight;      ///< [cluster]
};

inline double squared_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

/// Lloyd's rounds over `point` `[point, width]`, from centroids as given: at most `rounds`, or
/// until all centroids together move by less than `rest`. Ties: the lower cluster. A cluster
/// without points takes the point that lies furthest from its own centroid.
inline clusters weighted_k_means(std::span<const float> point, std::span<const double> weight,
                                 std::size_t width, std::vector<float> centroid,
                                 std::size_t rounds = 10, double rest = 1e-4) {
  const std::size_t n = weight.size(), k = centroid.size() / width;
  clusters c{std::move(centroid), std::vector<std::size_t>(n), std::vector<double>(k)};
  std::vector<double> distance(n), sum(k * width);
  const auto at = [width](auto& x, std::size_t i) {
    return std::span(x).subspan(i * width, width);
  };
  for (std::size_t round = 0; round < rounds; ++round) {
    std::fill(sum.begin(), sum.end(), 0);
    std::fill(c.weight.begin(), c.weight.end(), 0);
    std::vector<std::size_t> policies(k);
    for (std::size_t i = 0; i < n; ++i) {
      distance[i] = std::numeric_limits<double>::infinity();
      for (std::size_t j = 0; j < k; ++j)
        if (const double d = squared_distance(at(point, i), at(c.centroid, j)); d < distance[i])
          distance[i] = d, c.label[i] = j;
      ++policies[c.label[i]];
    }
    for (std::size_t j = 0; j < k && k <= n; ++j) {
      if (policies[j] > 0) continue;
      std::size_t furthest = n;
      for (std::size_t i = 0; i < n; ++i)
        if (policies[c.label[i]] > 1 && (furthest == n || distance[i] > distance[furthest]))
          furthest = i;
      --policies[c.label[furthest]], ++policies[j];
      c.label[furthest] = j;
      distance[furthest] = 0;
    }
    for (std::size_t i = 0; i < n; ++i) {
      c.weight[c.label[i]] += weight[i];
      for (std::size_t x = 0; x < width; ++x)
        sum[c.label[i] * width + x] += weight[i] * point[i * width + x];
    }
    double moved = 0;
    for (std::size_t j = 0; j < k; ++j) {
      double squares = 0;
      for (std::size_t x = 0; x < width && c.weight[j] > 0; ++x) {
        float& old = c.centroid[j * width + x];
        const auto now = static_cast<float>(sum[j * width + x] / c.weight[j]);
        squares += (double{now} - old) * (double{now} - old);
        old = now;
      }
      moved += std::sqrt(squares);
    }
    if (moved < rest) break;
  }
  return c;
}

}  // namespace weir::inline WEIR_TARGET::reducers
