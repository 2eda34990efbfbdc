// Fixed trees of drafts, by rank: which of a drafter's first, second, … choices are tried behind
// which. Chosen by expected acceptance, as in PPD: Chen et al., arXiv 2405.18628, and Sequoia.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/speculation/draft_tree.hpp>

namespace weir::inline WEIR_TARGET {

/// Nodes in an order in which parents come first, depths rising; node 0 is the first draft.
struct tree_shape {
  static constexpr std::size_t root = static_cast<std::size_t>(-1);
  struct draft {
    std::size_t parent = root;  ///< a node, or `root`
    std::size_t rank = 0;       ///< 0: what the drafter holds most probable there
    friend bool operator==(const draft&, const draft&) = default;
  };
  std::vector<draft> nodes;

  /// One draft behind the other, each the most probable.
  static tree_shape chain(std::size_t n);
  /// How deep node n is, from 1. O(depth).
  std::size_t depth(std::size_t n) const;
  /// Throws error::bad_config unless parents come first, depth by depth, and siblings differ.
  void validate() const;
  /// How many ranks there are: one more than the highest.
  std::size_t ranks() const;
  draft_limits limits() const;
};

/// The `n` drafts that are accepted most often, where the choice of rank k at depth d + 1 is
/// accepted with probability `accepted[d][k]`, given that its parent was: probabilities falling
/// with k. The tree of the largest expected number of accepted drafts (PPD, step 1: a node's value
/// is the product along its path). Fewer if the table has no more.
tree_shape best_tree(std::span<const std::vector<double>> accepted, std::size_t n);

/// How probable it is that a round comes by the root (1), by each node: `[1 + node]`, products of
/// `accepted` along the paths.
std::vector<double> node_values(const tree_shape& shape,
                                std::span<const std::vector<double>> accepted);

/// Drafts that are expected to be accepted: the sum of all nodes' values.
double expected_accepted(const tree_shape& shape, std::span<const std::vector<double>> accepted);

/// The best tree of at most `most` nodes for a machine on which a pass over n rows costs `cost(n)`:
/// the one that gives most tokens for the time.
tree_shape best_tree_for(std::span<const std::vector<double>> accepted, std::size_t most,
                         const std::function<double(std::size_t)>& cost);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/tree_shape.inl.hpp>
#endif
