// The rows of one step: final ones in a chain, then provisional ones in a tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/index.hpp>

namespace weir {

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
  explicit step_rows(std::size_t max_rows) {
    depth_.reserve(weir::max_draft_rows);
    kind_.reserve(max_rows);
  }

  /// Throws error::bad_input, and leaves the object as it was, unless the rows are a chain of final
  /// rows followed by a tree of at most `max_draft` provisional ones, at most `max_width` of them
  /// at the same depth. O(rows + draft²).
  void assign(std::span<const row> rows, std::size_t max_draft, std::size_t max_width) {
    using error::bad_input, error::require;
    std::size_t finals = 0;
    while (finals < rows.size() && !rows[finals].provisional) ++finals;
    const std::size_t drafts = rows.size() - finals;
    require<bad_input>(!rows.empty(), "step: no rows (expected at least 1)");
    require<bad_input>(drafts <= max_draft, "step: ", drafts,
                       " provisional rows (expected at most max_draft_rows = ", max_draft, ")");
    std::uint64_t ancestors[weir::max_draft_rows];
    std::uint8_t depth[weir::max_draft_rows], rank[weir::max_draft_rows];
    std::size_t width[weir::max_draft_rows] = {};
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const int last = static_cast<int>(r) - 1, given = rows[r].parent;
      int parent = given == row::previous ? last : given;
      if (r < finals) {
        require<bad_input>(parent == last, "step: final row ", r, " has parent ", given,
                           " (expected the row before it)");
        continue;
      }
      require<bad_input>(rows[r].provisional, "step: final row ", r,
                         " follows a provisional one (expected final rows first)");
      if (parent == static_cast<int>(finals) - 1) parent = row::root;
      require<bad_input>(
          parent == row::root || (parent >= static_cast<int>(finals) && parent <= last),
          "step: provisional row ", r, " has parent ", given,
          " (expected an earlier provisional row, or the root)");
      const std::size_t i = r - finals;
      const std::size_t p = static_cast<std::size_t>(parent) - finals;
      depth[i] = parent == row::root ? 0 : static_cast<std::uint8_t>(depth[p] + 1);
      ancestors[i] = std::uint64_t{1} << i | (parent == row::root ? 0 : ancestors[p]);
      rank[i] = static_cast<std::uint8_t>(width[depth[i]]++);
      require<bad_input>(rank[i] < max_width, "step: provisional row ", r, " is number ",
                         rank[i] + 1,
                         " at its depth (expected at most max_draft_width = ", max_width, ")");
    }
    finals_ = finals;
    depth_.assign(depth, depth + drafts);
    kind_.clear();
    for (const row& r : rows) kind_.push_back(r.kind);
    for (std::size_t i = 0; i < drafts; ++i) {
      ancestors_[i] = ancestors[i];
      rank_[i] = rank[i];
    }
    deepest_ = 0;
    for (const std::uint8_t d : depth_) deepest_ = d + 1u > deepest_ ? d + 1u : deepest_;
  }

  void clear() {
    finals_ = deepest_ = 0;
    depth_.clear();
  }

  std::size_t size() const { return finals_ + depth_.size(); }
  std::size_t finals() const { return finals_; }
  std::size_t drafts() const { return depth_.size(); }
  /// Length of the longest chain of provisional rows.
  std::size_t deepest() const { return deepest_; }

  /// The kind of row r's token.
  std::uint8_t kind(std::size_t r) const { return kind_[r]; }
  /// Tokens between the step's first row and row r in r's own past.
  std::size_t offset(std::size_t r) const {
    return r < finals_ ? r : finals_ + depth_[r - finals_];
  }
  /// Depth of provisional row `draft` below the root, from 0.
  std::size_t depth(std::size_t draft) const { return depth_[draft]; }
  /// Provisional rows that row r reads, itself included: a bit each.
  std::uint64_t ancestors(std::size_t r) const { return r < finals_ ? 0 : ancestors_[r - finals_]; }
  /// How many provisional rows before this one have its depth.
  std::size_t rank(std::size_t draft) const { return rank_[draft]; }

  /// Checks that `path` names provisional rows of the step, each the parent of the next.
  void require_path(std::span<const std::size_t> path) const {
    std::uint64_t above = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      const bool named = path[i] >= finals_ && path[i] < size();
      const std::uint64_t self = named ? std::uint64_t{1} << (path[i] - finals_) : 0;
      error::require<error::bad_input>(
          named && (above & self) == 0 && ancestors(path[i]) == (above | self), "commit: row ",
          path[i], " at place ", i,
          " of the path (expected a provisional row whose parent is "
          "the one before it)");
      above |= self;
    }
  }

 private:
  std::size_t finals_ = 0, deepest_ = 0;
  std::vector<std::uint8_t> depth_;  // [draft]
  std::vector<std::uint8_t> kind_;   // [row]
  std::uint64_t ancestors_[max_draft_rows] = {};
  std::uint8_t rank_[max_draft_rows] = {};
};

}  // namespace weir
