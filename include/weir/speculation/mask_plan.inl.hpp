// Bodies of speculation/mask_plan.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/draft_tree.hpp>
#include <weir/speculation/mask_plan.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE mask_plan mask_plan::quadratic(std::size_t m) {
  mask_plan plan;
  for (std::size_t s = 0; s <= m; ++s)
    plan.trees.push_back({tree_shape::chain(s), std::vector(s + 1, m)});
  return plan;
}

WEIR_INLINE mask_plan mask_plan::linear(std::size_t m) {
  mask_plan plan = quadratic(m);
  for (masked_tree& t : plan.trees) std::fill(t.masks.begin(), t.masks.end() - 1, 0);
  return plan;
}

WEIR_INLINE std::size_t mask_plan::bytes() const {
  std::size_t n = trees.size() * sizeof(masked_tree);
  for (const masked_tree& t : trees)
    n += t.shape.nodes.size() * sizeof(tree_shape::draft) + t.masks.size() * sizeof(std::size_t);
  return n;
}

WEIR_INLINE draft_limits mask_plan::limits() const {
  draft_limits most;
  for (const masked_tree& t : trees) {
    const draft_limits drafts = t.shape.limits();
    most.nodes = std::max(most.nodes, drafts.nodes);
    most.depth = std::max(most.depth, drafts.depth);
    most.width = std::max(most.width, drafts.width);
    std::vector<std::size_t> width;  // [depth - 1]
    for (std::size_t i = 0; i < t.masks.size(); ++i) {
      const std::size_t depth = i == 0 ? 0 : t.shape.depth(i - 1), end = depth + t.masks[i];
      width.resize(std::max(width.size(), end));
      for (std::size_t d = depth == 0 ? 1 : depth; d <= end; ++d) ++width[d - 1];
    }
    most.masks.each = std::max(most.masks.each, std::ranges::max(t.masks));
    most.masks.rows = std::max(most.masks.rows, t.rows() - 1);
    most.masks.depth = std::max(most.masks.depth, width.size());
    if (!width.empty()) most.masks.width = std::max(most.masks.width, std::ranges::max(width));
  }
  return most;
}

WEIR_INLINE void mask_plan::validate() const {
  using error::bad_config, error::require;
  for (std::size_t s = 0; s < trees.size(); ++s) {
    const masked_tree& t = trees[s];
    t.shape.validate();
    require<bad_config>(t.masks.size() == 1 + t.shape.nodes.size(), "mask_plan: state ", s,
                        " has masks behind ", t.masks.size(), " nodes (expected ",
                        1 + t.shape.nodes.size(), ", the root among them)");
    const std::size_t depth = t.shape.limits().depth, most = std::ranges::max(t.masks);
    require<bad_config>(depth <= s, "mask_plan: state ", s, " has drafts ", depth,
                        " deep (expected at most ", s, ", a mask for each depth)");
    require<bad_config>(most <= masks(), "mask_plan: state ", s, " has ", most,
                        " masks behind a node (expected at most ", masks(), ", the highest state)");
  }
  require<bad_config>(trees.empty() || trees[0].masks[0] > 0,
                      "mask_plan: state 0 has no masks behind the root (expected 1 at least)");
}

WEIR_INLINE std::vector<double> stop_chances(const tree_shape& shape,
                                             std::span<const std::vector<double>> accepted) {
  const std::vector<double> value = node_values(shape, accepted);
  std::vector<double> stop = value;
  for (std::size_t n = 0; n < shape.nodes.size(); ++n)
    stop[shape.nodes[n].parent + 1] -= value[n + 1];  // root + 1 is 0
  return stop;
}

WEIR_INLINE std::vector<double> next_states(std::span<const double> stop,
                                            std::span<const std::size_t> masks,
                                            std::size_t states) {
  std::vector<double> next(states);
  for (std::size_t i = 0; i < stop.size(); ++i) next[masks[i]] += stop[i];
  return next;
}

WEIR_INLINE std::vector<double> stationary(std::vector<std::vector<double>> next) {
  const std::size_t n = next.size();
  // A chain that rests half of the time goes to the same limit and cannot run in circles; its
  // matrix, squared, makes twice the steps.
  for (std::size_t i = 0; i < n; ++i) next[i][i] += 1;
  auto squared = next;
  for (int doubling = 0; doubling < 48; ++doubling) {
    for (auto& row : next) {  // or roundings would double too
      const double sum = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& p : row) p /= sum;
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        squared[i][j] = 0;
        for (std::size_t k = 0; k < n; ++k) squared[i][j] += next[i][k] * next[k][j];
      }
    std::swap(next, squared);
  }
  return next[0];
}

WEIR_INLINE double tokens_a_round(const std::vector<std::vector<double>>& next,
                                  std::span<const double> gain) {
  const std::vector<double> part = stationary(next);
  return std::inner_product(part.begin(), part.end(), gain.begin(), 1.0);
}

WEIR_INLINE double tokens_a_round(const mask_plan& plan,
                                  std::span<const std::vector<double>> accepted) {
  if (plan.trees.empty()) return 1;
  std::vector<std::vector<double>> next;
  std::vector<double> gain;
  for (const masked_tree& t : plan.trees) {
    next.push_back(next_states(stop_chances(t.shape, accepted), t.masks, plan.trees.size()));
    gain.push_back(expected_accepted(t.shape, accepted));
  }
  return tokens_a_round(next, gain);
}

}  // namespace weir::inline WEIR_TARGET
