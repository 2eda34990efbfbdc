// The rows of one step: final ones in a chain, then provisional ones in a tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/index.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// One token's way through a step.
struct row {
  static constexpr int previous = -2;  ///< parent: the row before this one
  static constexpr int root = -1;      ///< parent: the last final row, or the last token committed

  int parent = previous;     ///< a row of the step, `previous` or `root`
  bool provisional = false;  ///< may be taken back; final rows come before provisional ones
  std::uint8_t kind = 0;     ///< of token: what policies that tell kinds apart go by
};

/// Most provisional rows in a step: ancestors are one 64-bit word.
inline constexpr std::size_t max_draft_rows = 64;

/// A step's rows, checked. Depths and ancestors of provisional rows are worked out once.
class step_rows {
 public:
  /// `max_rows`: most rows of a step.
  explicit step_rows(std::size_t max_rows) { kind_.reserve(max_rows); }

  /// Throws error::bad_input, and leaves the object as it was, unless the rows are a chain of final
  /// rows followed by a tree of at most `max_draft` provisional ones, at most `max_width` of them
  /// at the same depth. O(rows + draft).
  void assign(std::span<const row> rows, std::size_t max_draft, std::size_t max_width);
  /// Adds provisional rows, whose parents may be rows that the step has already, at most
  /// `max_depth` deep. Throws as `assign` does.
  void extend(std::span<const row> rows, std::size_t max_draft, std::size_t max_width,
              std::size_t max_depth);

  /// Throws error::bad_input if provisional rows go deeper than `most`.
  static void require_depth(std::size_t depth, std::size_t most);

  std::size_t size() const { return tree_.finals + tree_.drafts; }
  std::size_t finals() const { return tree_.finals; }
  std::size_t drafts() const { return tree_.drafts; }
  /// Length of the longest chain of provisional rows.
  std::size_t deepest() const { return tree_.deepest; }

  /// The kind of row r's token.
  std::uint8_t kind(std::size_t r) const { return kind_[r]; }
  /// Tokens between the step's first row and row r in r's own past.
  std::size_t offset(std::size_t r) const {
    return r < finals() ? r : finals() + depth(r - finals());
  }
  /// Depth of provisional row `draft` below the root, from 0.
  std::size_t depth(std::size_t draft) const { return tree_.depth[draft]; }
  /// Provisional rows that row r reads, itself included: a bit each.
  std::uint64_t ancestors(std::size_t r) const {
    return r < finals() ? 0 : tree_.ancestors[r - finals()];
  }
  /// How many provisional rows before this one have its depth.
  std::size_t rank(std::size_t draft) const { return tree_.rank[draft]; }

  /// Checks that `path` names provisional rows of the step, each the parent of the next.
  void require_path(std::span<const std::size_t> path) const;

 private:
  struct tree {
    std::size_t finals = 0, drafts = 0, deepest = 0;
    std::uint64_t ancestors[max_draft_rows] = {};
    std::uint8_t depth[max_draft_rows] = {}, rank[max_draft_rows] = {};
    std::uint8_t width[max_draft_rows] = {};  // provisional rows at each depth
  };

  /// Adds `rows` behind those that `t` has.
  static void grow(tree& t, std::span<const row> rows, std::size_t max_draft,
                   std::size_t max_width);

  tree tree_;
  std::vector<std::uint8_t> kind_;  // [row]
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/cache/step_rows.inl.hpp>
#endif
