// Which guesses are tried, and where masks lie behind them, by how many masks the last accepted
// node carried: the dynamic sparse trees of PPD, Chen et al., arXiv 2405.18628, found before a
// stream starts; and the two layouts of masks of Samragh et al., arXiv 2507.11851.
//
// Masks behind a node say what follows it, one depth each. Those of the last accepted node are the
// next round's guesses; so rounds are a Markov chain, whose state is how many that node carried.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/draft_tree.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// Guesses, and masks behind them.
struct masked_tree {
  tree_shape shape;
  std::vector<std::size_t> masks;  ///< [1 + node] behind the root, behind each node
  friend bool operator==(const masked_tree& a, const masked_tree& b) {
    return a.shape.nodes == b.shape.nodes && a.masks == b.masks;
  }

  /// Rows of a pass, the root's among them.
  std::size_t rows() const { return std::reduce(masks.begin(), masks.end(), masks.size()); }
};

/// A tree for each state. Without any nothing is guessed.
struct mask_plan {
  std::vector<masked_tree> trees;  ///< [state] guesses no deeper than the state

  /// `m` masks behind each node of a chain of m guesses: whatever is accepted, the next round has m
  /// guesses. (m + 1)² rows ("quadratic decoding", arXiv 2507.11851).
  static mask_plan quadratic(std::size_t m) {
    mask_plan plan;
    for (std::size_t s = 0; s <= m; ++s)
      plan.trees.push_back({tree_shape::chain(s), std::vector(s + 1, m)});
    return plan;
  }
  /// `m` masks behind the last guess of such a chain alone: the round after one that did not accept
  /// it has none to go by. 2 m + 1 rows ("linear decoding", there).
  static mask_plan linear(std::size_t m) {
    mask_plan plan = quadratic(m);
    for (masked_tree& t : plan.trees) std::fill(t.masks.begin(), t.masks.end() - 1, 0);
    return plan;
  }

  /// The most masks behind one node, as the highest state.
  std::size_t masks() const { return trees.empty() ? 0 : trees.size() - 1; }

  /// Bytes that a copy of the plan holds.
  std::size_t bytes() const {
    std::size_t n = trees.size() * sizeof(masked_tree);
    for (const masked_tree& t : trees)
      n += t.shape.nodes.size() * sizeof(tree_shape::guess) + t.masks.size() * sizeof(std::size_t);
    return n;
  }

  /// What any of the trees takes.
  draft_limits limits() const {
    draft_limits most;
    for (const masked_tree& t : trees) {
      const draft_limits guesses = t.shape.limits();
      most.nodes = std::max(most.nodes, guesses.nodes);
      most.depth = std::max(most.depth, guesses.depth);
      most.width = std::max(most.width, guesses.width);
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

  /// Throws error::bad_config unless each tree goes no deeper than its state, no node carries more
  /// masks than there are states for, and the root of state 0 has some.
  void validate() const {
    using error::bad_config, error::require;
    for (std::size_t s = 0; s < trees.size(); ++s) {
      const masked_tree& t = trees[s];
      t.shape.validate();
      require<bad_config>(t.masks.size() == 1 + t.shape.nodes.size(), "mask_plan: state ", s,
                          " has masks behind ", t.masks.size(), " nodes (expected ",
                          1 + t.shape.nodes.size(), ", the root among them)");
      const std::size_t depth = t.shape.limits().depth, most = std::ranges::max(t.masks);
      require<bad_config>(depth <= s, "mask_plan: state ", s, " has guesses ", depth,
                          " deep (expected at most ", s, ", a mask for each depth)");
      require<bad_config>(most <= masks(), "mask_plan: state ", s, " has ", most,
                          " masks behind a node (expected at most ", masks(),
                          ", the highest state)");
    }
    require<bad_config>(trees.empty() || trees[0].masks[0] > 0,
                        "mask_plan: state 0 has no masks behind the root (expected 1 at least)");
  }
};

/// How probable it is that a round ends at the root, at each node (`[1 + node]`): a node's value,
/// less those of its children. PPD, step 2. They add up to 1.
inline std::vector<double> stop_chances(const tree_shape& shape,
                                        std::span<const std::vector<double>> accepted) {
  const std::vector<double> value = node_values(shape, accepted);
  std::vector<double> stop = value;
  for (std::size_t n = 0; n < shape.nodes.size(); ++n)
    stop[shape.nodes[n].parent + 1] -= value[n + 1];  // root + 1 is 0
  return stop;
}

/// How probable each state is behind a round: the chance `[1 + node]` that it ends at a node,
/// summed by the masks that this one has. `[state]`, of `states`.
inline std::vector<double> next_states(std::span<const double> stop,
                                       std::span<const std::size_t> masks, std::size_t states) {
  std::vector<double> next(states);
  for (std::size_t i = 0; i < stop.size(); ++i) next[masks[i]] += stop[i];
  return next;
}

/// The part of all rounds `[state]` that a chain with `next[state]` spends in each state if it
/// starts in state 0. O(states³).
inline std::vector<double> stationary(std::vector<std::vector<double>> next) {
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

/// Tokens a round, in the long run: one, and `gain[state]` guesses accepted in each state.
inline double tokens_a_round(const std::vector<std::vector<double>>& next,
                             std::span<const double> gain) {
  const std::vector<double> part = stationary(next);
  return std::inner_product(part.begin(), part.end(), gain.begin(), 1.0);
}

/// The same of a plan, where the choice of rank k at depth d + 1 is accepted with probability
/// `accepted[d][k]`, given that its parent was.
inline double tokens_a_round(const mask_plan& plan, std::span<const std::vector<double>> accepted) {
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
