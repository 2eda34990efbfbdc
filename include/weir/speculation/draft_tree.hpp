// Drafts at how a stream goes on: a tree of tokens below the newest one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// The most that the rows of a tree may be where masks lie behind its nodes.
struct mask_limits {
  std::size_t each = 0;   ///< masks behind one node
  std::size_t rows = 0;   ///< drafts and masks in all
  std::size_t depth = 0;  ///< how deep the deepest of them lies
  std::size_t width = 0;  ///< of them at the same depth
};

/// The most that a tree of drafts may hold.
struct draft_limits {
  std::size_t nodes = 0;   ///< drafts in all
  std::size_t depth = 0;   ///< of them on the longest path
  std::size_t width = 1;   ///< of them at the same depth
  mask_limits masks = {};  ///< of drafters that have any: see drafters/mask_tokens.hpp

  /// Provisional rows in all, and at the same depth.
  std::size_t rows() const { return std::max(nodes, masks.rows); }
  std::size_t row_width() const { return std::max(width, masks.width); }
  /// The lesser of both, in everything.
  friend draft_limits least(const draft_limits& a, const draft_limits& b) {
    return {std::min(a.nodes, b.nodes),
            std::min(a.depth, b.depth),
            std::min(a.width, b.width),
            {std::min(a.masks.each, b.masks.each), std::min(a.masks.rows, b.masks.rows),
             std::min(a.masks.depth, b.masks.depth), std::min(a.masks.width, b.masks.width)}};
  }
};

/// A tree of drafts. Node 0 is the root: the stream's newest token, which is certain. Every other
/// node is a draft at what follows its parent, and comes after it. Masks may lie behind nodes, each
/// behind the one before: rows that are no draft. All memory is taken at construction.
class draft_tree {
 public:
  using node = std::size_t;
  static constexpr node none = static_cast<node>(-1);

  /// A tree within `most`. `distribution_size`: 0, or the vocabulary if drafters leave the
  /// distributions that they drew siblings from. Throws error::bad_config where the sizes are
  /// beyond all memory, error::out_of_memory.
  explicit draft_tree(const draft_limits& most, std::size_t distribution_size = 0);
  /// Bytes that a tree holds.
  static std::size_t required_bytes(const draft_limits& most, std::size_t distribution_size = 0);
  std::size_t bytes() const { return required_bytes(most_, distribution_size_); }

  /// Back to the root alone. `limits`, what there is room for now, are at most those of
  /// construction.
  void start(token_id root, const draft_limits& limits);

  /// Leaves room for no more than `limits`, until the next start. Before any draft.
  void tighten(const draft_limits& limits) { limits_ = least(limits, limits_); }

  /// What there is room for now.
  const draft_limits& limits() const { return limits_; }
  /// True if `parent` may have a(nother) child.
  bool has_room(node parent) const {
    return drafts() < limits_.nodes && depth_[parent] < limits_.depth &&
           width_[depth_[parent]] < limits_.width;
  }
  /// Adds a draft at what follows `parent`; `none` if there is no room for it. O(1).
  node add(token_id token, node parent);

  /// Puts `n` masks behind `at`, or as many as there is room for; once for each node, when all
  /// drafts are there. O(1).
  void set_masks(node at, std::size_t n);
  /// Masks behind `n`; behind all nodes.
  std::size_t masks(node n) const { return masks_.empty() ? 0 : masks_[n]; }
  std::size_t masks() const { return all_masks_; }

  /// Nodes, the root included.
  std::size_t size() const { return token_.size(); }
  std::size_t drafts() const { return token_.size() - 1; }
  token_id token(node n) const { return token_[n]; }
  std::span<const token_id> tokens() const { return token_; }
  node parent(node n) const { return parent_[n]; }
  /// Drafts on the way from the root, this one included.
  std::size_t depth(node n) const { return depth_[n]; }
  /// Length of the longest path.
  std::size_t deepest() const { return *std::max_element(depth_.begin(), depth_.end()); }

  /// The first child of `n` from node `from` on, in the order in which they were added; `none` if
  /// there is no other. O(nodes).
  node child(node n, node from = 0) const;
  /// The child of `n` with this token, or `none`.
  node child_with(node n, token_id token) const;

  /// True if the verifier will ask for the distributions that siblings were drawn from.
  bool wants_distributions() const { return distribution_size_ > 0; }
  /// Room for the distribution `[vocabulary]` that the children of `n` are drawn from, before any
  /// of them was: probabilities that add up to 1. Drafters of sampled siblings fill it in, where
  /// wanted.
  std::span<float> set_distribution(node n) {
    has_distribution_[n] = 1;
    return std::span(distributions_).subspan(n * distribution_size_, distribution_size_);
  }
  /// That distribution; empty where there is none.
  std::span<const float> distribution(node n) const {
    return std::span(distributions_)
        .subspan(n * distribution_size_, has_distribution_[n] != 0 ? distribution_size_ : 0);
  }

 private:
  draft_limits most_, limits_;
  std::size_t distribution_size_;
  std::vector<token_id> token_;                 // [node]
  std::vector<std::uint32_t> parent_;           // [node]
  std::vector<std::uint32_t> depth_;            // [node]
  std::vector<std::uint8_t> has_distribution_;  // [node]
  std::vector<float> distributions_;            // [node, vocabulary]
  std::vector<std::uint32_t> width_;            // [depth - 1] drafts there
  std::vector<std::uint32_t> masks_;            // [node], if there may be any
  std::size_t all_masks_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/draft_tree.inl.hpp>
#endif
