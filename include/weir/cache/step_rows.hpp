// The rows of one step: final ones in a chain, then provisional ones in a tree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
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
  void assign(std::span<const row> rows, std::size_t max_draft, std::size_t max_width) {
    error::require<error::bad_input>(!rows.empty(), "step: no rows (expected at least 1)");
    tree next;
    while (next.finals < rows.size() && !rows[next.finals].provisional) {
      const int last = static_cast<int>(next.finals) - 1, parent = rows[next.finals].parent;
      error::require<error::bad_input>(parent == row::previous || parent == last,
                                       "step: final row ", next.finals, " has parent ", parent,
                                       " (expected the row before it)");
      ++next.finals;
    }
    grow(next, rows.subspan(next.finals), max_draft, max_width);
    tree_ = next;
    kind_.clear();
    for (const row& r : rows) kind_.push_back(r.kind);
  }
  /// Adds provisional rows, whose parents may be rows that the step has already, at most
  /// `max_depth` deep. Throws as `assign` does.
  void extend(std::span<const row> rows, std::size_t max_draft, std::size_t max_width,
              std::size_t max_depth) {
    tree next = tree_;
    grow(next, rows, max_draft, max_width);
    require_depth(next.deepest, max_depth);
    tree_ = next;
    for (const row& r : rows) kind_.push_back(r.kind);
  }

  /// Throws error::bad_input if provisional rows go deeper than `most`.
  static void require_depth(std::size_t depth, std::size_t most) {
    error::require<error::bad_input>(depth <= most, "step: provisional rows ", depth,
                                     " deep (expected at most ", most,
                                     ", to the next boundary or the last place)");
  }

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
  void require_path(std::span<const std::size_t> path) const {
    std::uint64_t above = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      const bool named = path[i] >= finals() && path[i] < size();
      const std::uint64_t self = named ? std::uint64_t{1} << (path[i] - finals()) : 0;
      error::require<error::bad_input>(
          named && (above & self) == 0 && ancestors(path[i]) == (above | self), "commit: row ",
          path[i], " at place ", i,
          " of the path (expected a provisional row whose parent is "
          "the one before it)");
      above |= self;
    }
  }

 private:
  struct tree {
    std::size_t finals = 0, drafts = 0, deepest = 0;
    std::uint64_t ancestors[max_draft_rows] = {};
    std::uint8_t depth[max_draft_rows] = {}, rank[max_draft_rows] = {};
    std::uint8_t width[max_draft_rows] = {};  // provisional rows at each depth
  };

  /// Adds `rows` behind those that `t` has.
  static void grow(tree& t, std::span<const row> rows, std::size_t max_draft,
                   std::size_t max_width) {
    using error::bad_input, error::require;
    const int finals = static_cast<int>(t.finals);
    require<bad_input>(rows.size() <= max_draft - t.drafts, "step: ", t.drafts + rows.size(),
                       " provisional rows (expected at most max_draft_rows = ", max_draft, ")");
    for (const row& added : rows) {
      const std::size_t i = t.drafts++;
      const int last = finals + static_cast<int>(i) - 1;
      int parent = added.parent == row::previous ? last : added.parent;
      if (parent == finals - 1) parent = row::root;
      require<bad_input>(added.provisional, "step: final row ", last + 1,
                         " follows a provisional one (expected final rows first)");
      require<bad_input>(parent == row::root || (parent >= finals && parent <= last),
                         "step: provisional row ", last + 1, " has parent ", added.parent,
                         " (expected an earlier provisional row, or the root)");
      const auto above = static_cast<std::size_t>(parent - finals);
      t.depth[i] = parent == row::root ? 0 : static_cast<std::uint8_t>(t.depth[above] + 1);
      t.ancestors[i] = std::uint64_t{1} << i | (parent == row::root ? 0 : t.ancestors[above]);
      t.rank[i] = t.width[t.depth[i]]++;
      if (t.depth[i] + 1u > t.deepest) t.deepest = t.depth[i] + 1u;
      require<bad_input>(t.rank[i] < max_width, "step: provisional row ", last + 1, " is number ",
                         t.rank[i] + 1,
                         " at its depth (expected at most max_draft_width = ", max_width, ")");
    }
  }

  tree tree_;
  std::vector<std::uint8_t> kind_;  // [row]
};

}  // namespace weir::inline WEIR_TARGET
