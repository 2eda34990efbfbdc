// Which drafts are tried, and where masks lie behind them, by how many masks the last accepted
// node carried: the dynamic sparse trees of PPD, Chen et al., arXiv 2405.18628, found before a
// stream starts; and the two layouts of masks of Samragh et al., arXiv 2507.11851.
//
// Masks behind a node say what follows it, one depth each. Those of the last accepted node are the
// next round's drafts; so rounds are a Markov chain, whose state is how many that node carried.
#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/speculation/draft_tree.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// Drafts, and masks behind them.
struct masked_tree {
  tree_shape shape;
  std::vector<std::size_t> masks;  ///< [1 + node] behind the root, behind each node
  friend bool operator==(const masked_tree& a, const masked_tree& b) {
    return a.shape.nodes == b.shape.nodes && a.masks == b.masks;
  }

  /// Rows of a pass, the root's among them.
  std::size_t rows() const { return std::reduce(masks.begin(), masks.end(), masks.size()); }
};

/// A tree for each state. Without any nothing is drafted.
struct mask_plan {
  std::vector<masked_tree> trees;  ///< [state] drafts no deeper than the state

  /// `m` masks behind each node of a chain of m drafts: whatever is accepted, the next round has m
  /// drafts. (m + 1)² rows ("quadratic decoding", arXiv 2507.11851).
  static mask_plan quadratic(std::size_t m);
  /// `m` masks behind the last draft of such a chain alone: the round after one that did not accept
  /// it has none to go by. 2 m + 1 rows ("linear decoding", there).
  static mask_plan linear(std::size_t m);

  /// The most masks behind one node, as the highest state.
  std::size_t masks() const { return trees.empty() ? 0 : trees.size() - 1; }

  /// Bytes that a copy of the plan holds.
  std::size_t bytes() const;

  /// What any of the trees takes.
  draft_limits limits() const;

  /// Throws error::bad_config unless each tree goes no deeper than its state, no node carries more
  /// masks than there are states for, and the root of state 0 has some.
  void validate() const;
};

/// How probable it is that a round ends at the root, at each node (`[1 + node]`): a node's value,
/// less those of its children. PPD, step 2. They add up to 1.
std::vector<double> stop_chances(const tree_shape& shape,
                                 std::span<const std::vector<double>> accepted);

/// How probable each state is behind a round: the chance `[1 + node]` that it ends at a node,
/// summed by the masks that this one has. `[state]`, of `states`.
std::vector<double> next_states(std::span<const double> stop, std::span<const std::size_t> masks,
                                std::size_t states);

/// The part of all rounds `[state]` that a chain with `next[state]` spends in each state if it
/// starts in state 0. O(states³).
std::vector<double> stationary(std::vector<std::vector<double>> next);

/// Tokens a round, in the long run: one, and `gain[state]` drafts accepted in each state.
double tokens_a_round(const std::vector<std::vector<double>>& next, std::span<const double> gain);

/// The same of a plan, where the choice of rank k at depth d + 1 is accepted with probability
/// `accepted[d][k]`, given that its parent was.
double tokens_a_round(const mask_plan& plan, std::span<const std::vector<double>> accepted);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/mask_plan.inl.hpp>
#endif
