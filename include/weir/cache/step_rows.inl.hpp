// Bodies of cache/step_rows.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/cache/step_rows.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void step_rows::assign(std::span<const row> rows, std::size_t max_draft,
                                   std::size_t max_width) {
  error::require<error::bad_input>(!rows.empty(), "step: no rows (expected at least 1)");
  tree next;
  while (next.finals < rows.size() && !rows[next.finals].provisional) {
    const int last = static_cast<int>(next.finals) - 1, parent = rows[next.finals].parent;
    error::require<error::bad_input>(parent == row::previous || parent == last, "step: final row ",
                                     next.finals, " has parent ", parent,
                                     " (expected the row before it)");
    ++next.finals;
  }
  grow(next, rows.subspan(next.finals), max_draft, max_width);
  tree_ = next;
  kind_.clear();
  for (const row& r : rows) kind_.push_back(r.kind);
}

WEIR_INLINE void step_rows::extend(std::span<const row> rows, std::size_t max_draft,
                                   std::size_t max_width, std::size_t max_depth) {
  tree next = tree_;
  grow(next, rows, max_draft, max_width);
  require_depth(next.deepest, max_depth);
  tree_ = next;
  for (const row& r : rows) kind_.push_back(r.kind);
}

WEIR_INLINE void step_rows::require_depth(std::size_t depth, std::size_t most) {
  error::require<error::bad_input>(depth <= most, "step: provisional rows ", depth,
                                   " deep (expected at most ", most,
                                   ", to the next boundary or the last place)");
}

WEIR_INLINE void step_rows::require_path(std::span<const std::size_t> path) const {
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

WEIR_INLINE void step_rows::grow(tree& t, std::span<const row> rows, std::size_t max_draft,
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

}  // namespace weir::inline WEIR_TARGET
