// Bodies of speculation/draft_tree.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <weir/core/checked_size.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/draft_tree.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE draft_tree::draft_tree(const draft_limits& most, std::size_t distribution_size) WEIR_TRY
    : distribution_size_((required_bytes(most, distribution_size), distribution_size)),
      distributions_(checked_product(distribution_size, most.nodes + 1)),
      width_(most.depth) {
  token_.reserve(most.nodes + 1);
  parent_.reserve(most.nodes + 1);
  depth_.reserve(most.nodes + 1);
  has_distribution_.reserve(most.nodes + 1);
  if (most.masks.each > 0) masks_.resize(most.nodes + 1);
  limits_ = most_ = most;
  start(0, most);
}
WEIR_OR_OUT_OF_MEMORY("draft_tree")

WEIR_INLINE std::size_t draft_tree::required_bytes(const draft_limits& most,
                                                   std::size_t distribution_size) {
  const std::size_t node =
      checked_sum(sizeof(token_id) + (most.masks.each > 0 ? 3 : 2) * sizeof(std::uint32_t) + 1,
                  checked_product(distribution_size, sizeof(float)));
  return checked_sum(checked_product(checked_sum(most.nodes, 1u), node),
                     checked_product(most.depth, sizeof(std::uint32_t)));
}

WEIR_INLINE void draft_tree::start(token_id root, const draft_limits& limits) {
  limits_ = least(limits, most_);
  token_.assign(1, root);
  parent_.assign(1, 0);
  depth_.assign(1, 0);
  has_distribution_.assign(1, 0);
  std::fill(width_.begin(), width_.end(), 0);
  std::fill(masks_.begin(), masks_.end(), 0);
  all_masks_ = 0;
}

WEIR_INLINE draft_tree::node draft_tree::add(token_id token, node parent) {
  if (!has_room(parent)) return none;
  ++width_[depth_[parent]];
  token_.push_back(token);
  parent_.push_back(static_cast<std::uint32_t>(parent));
  depth_.push_back(depth_[parent] + 1);
  has_distribution_.push_back(0);
  return token_.size() - 1;
}

WEIR_INLINE void draft_tree::set_masks(node at, std::size_t n) {
  const mask_limits& most = limits_.masks;
  const auto left = [](std::size_t all, std::size_t taken) { return all - std::min(all, taken); };
  n = std::min(
      {n, most.each, left(most.rows, drafts() + all_masks_), left(most.depth, depth_[at])});
  if (n == 0) return;
  masks_[at] = static_cast<std::uint32_t>(n);
  all_masks_ += n;
}

WEIR_INLINE draft_tree::node draft_tree::child(node n, node from) const {
  for (node c = std::max(from, n + 1); c < size(); ++c)
    if (parent_[c] == n) return c;
  return none;
}

WEIR_INLINE draft_tree::node draft_tree::child_with(node n, token_id token) const {
  node c = child(n);
  while (c != none && token_[c] != token) c = child(n, c + 1);
  return c;
}

}  // namespace weir::inline WEIR_TARGET
