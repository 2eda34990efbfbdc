// Bodies of speculation/tree_shape.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <numeric>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/draft_tree.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE tree_shape tree_shape::chain(std::size_t n) {
  tree_shape s;
  for (std::size_t i = 0; i < n; ++i) s.nodes.push_back({i - 1, 0});
  return s;
}

WEIR_INLINE std::size_t tree_shape::depth(std::size_t n) const {
  std::size_t d = 1;
  while ((n = nodes[n].parent) != root) ++d;
  return d;
}

WEIR_INLINE void tree_shape::validate() const {
  using error::bad_config, error::require;
  std::size_t deepest = 0;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    require<bad_config>(nodes[n].parent == root || nodes[n].parent < n, "tree_shape: node ", n,
                        " has parent ", nodes[n].parent, " (expected an earlier node or the root)");
    const std::size_t d = depth(n);
    require<bad_config>(d >= deepest, "tree_shape: node ", n, " is ", d, " deep, behind one ",
                        deepest, " deep (expected depths to rise)");
    deepest = d;
    require<bad_config>(std::find(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(n),
                                  nodes[n]) == nodes.begin() + static_cast<std::ptrdiff_t>(n),
                        "tree_shape: node ", n, " repeats a sibling's rank ", nodes[n].rank);
  }
}

WEIR_INLINE std::size_t tree_shape::ranks() const {
  std::size_t most = 0;
  for (const draft& g : nodes) most = std::max(most, g.rank + 1);
  return most;
}

WEIR_INLINE draft_limits tree_shape::limits() const {
  draft_limits most{.nodes = nodes.size()};
  std::vector<std::size_t> width(nodes.size() + 1);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const std::size_t d = depth(n);
    most.depth = std::max(most.depth, d);
    most.width = std::max(most.width, ++width[d]);
  }
  return most;
}

WEIR_INLINE tree_shape best_tree(std::span<const std::vector<double>> accepted, std::size_t n) {
  struct candidate {
    double value;
    std::vector<std::size_t> path;  // ranks
    /// The more valuable first; then the shallower, then the lower ranks.
    bool operator<(const candidate& other) const {
      if (value != other.value) return value < other.value;
      if (path.size() != other.path.size()) return path.size() > other.path.size();
      return path > other.path;
    }
  };
  std::priority_queue<candidate> open;
  if (!accepted.empty() && !accepted[0].empty()) open.push({accepted[0][0], {0}});
  std::vector<std::vector<std::size_t>> taken;
  while (!open.empty() && taken.size() < n) {
    const candidate best = open.top();
    open.pop();
    taken.push_back(best.path);
    const std::size_t d = best.path.size(), rank = best.path.back();
    const auto& here = accepted[d - 1];
    if (rank + 1 < here.size() && here[rank] > 0) {
      candidate sibling = best;
      sibling.value = best.value / here[rank] * here[rank + 1];
      ++sibling.path.back();
      open.push(sibling);
    }
    if (d < accepted.size() && !accepted[d].empty()) {
      candidate child = best;
      child.value = best.value * accepted[d][0];
      child.path.push_back(0);
      open.push(child);
    }
  }
  std::vector<std::vector<std::size_t>> paths;  // the shallower first; else as they were taken
  for (std::size_t depth = 1; paths.size() < taken.size(); ++depth)
    std::copy_if(taken.begin(), taken.end(), std::back_inserter(paths),
                 [depth](const auto& path) { return path.size() == depth; });
  tree_shape shape;
  for (const auto& path : paths) {
    const std::vector<std::size_t> above(path.begin(), path.end() - 1);
    const auto parent = std::find(paths.begin(), paths.end(), above);
    shape.nodes.push_back(
        {above.empty() ? tree_shape::root : static_cast<std::size_t>(parent - paths.begin()),
         path.back()});
  }
  return shape;
}

WEIR_INLINE std::vector<double> node_values(const tree_shape& shape,
                                            std::span<const std::vector<double>> accepted) {
  std::vector<double> value{1};
  for (std::size_t n = 0; n < shape.nodes.size(); ++n) {
    const auto [parent, rank] = shape.nodes[n];
    value.push_back(value[parent + 1] * accepted[shape.depth(n) - 1][rank]);  // root + 1 is 0
  }
  return value;
}

WEIR_INLINE double expected_accepted(const tree_shape& shape,
                                     std::span<const std::vector<double>> accepted) {
  const std::vector<double> value = node_values(shape, accepted);
  return std::accumulate(value.begin() + 1, value.end(), 0.0);
}

WEIR_INLINE tree_shape best_tree_for(std::span<const std::vector<double>> accepted,
                                     std::size_t most,
                                     const std::function<double(std::size_t)>& cost) {
  tree_shape best;
  double rate = 1 / cost(1);
  for (std::size_t n = 1; n <= most; ++n) {
    tree_shape shape = best_tree(accepted, n);
    if (shape.nodes.size() < n) break;
    const double tokens = (1 + expected_accepted(shape, accepted)) / cost(1 + n);
    if (tokens > rate) {
      rate = tokens;
      best = std::move(shape);
    }
  }
  return best;
}

}  // namespace weir::inline WEIR_TARGET
