// Bodies of speculation/token_trie.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/token_trie.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE token_trie::node token_trie::visit(node parent, token_id token) {
  const std::size_t at = place(parent, token);
  node n = slot_[at];
  if (n == root) {
    if (used_ == node_.size()) {
      while (size() > (node_.size() - 1) / 2) squeeze();
      return none;
    }
    n = static_cast<node>(used_++);
    node_[n] = {token, parent, none, node_[parent].child, 0};
    node_[parent].child = n;
    slot_[at] = n;
  }
  node_[n].frequency += 1;
  return n;
}

WEIR_INLINE void token_trie::squeeze() {
  // Parents come before children. Until links are made anew, `child` is where a node went.
  std::size_t kept = 1;
  node_[root].child = root;
  for (std::size_t n = 1; n < used_; ++n) {
    entry& e = node_[n];
    const bool stays = e.frequency > 1;
    if (stays) {
      const node to = static_cast<node>(kept);
      entry& moved = node_[kept++];
      const node parent = node_[e.parent].child;
      moved.token = e.token;
      moved.frequency = e.frequency / 2;
      moved.parent = parent;
      e.child = to;
    }
  }
  used_ = kept;
  link();
  ++generation_;
}

WEIR_INLINE void token_trie::clear() {
  used_ = 1;
  link();
  ++generation_;
}

WEIR_INLINE std::size_t token_trie::checked(std::size_t nodes) {
  error::require<error::bad_config>(nodes > 0 && nodes < std::size_t{1} << 31,
                                    "token_trie: ", nodes, " nodes (expected 1 to 2147483647)");
  return nodes;
}

WEIR_INLINE std::size_t token_trie::slots(std::size_t nodes) {
  std::size_t n = 2;
  while (n < 2 * nodes && n < std::size_t{1} << 40) n *= 2;
  return n;
}

WEIR_INLINE std::size_t token_trie::place(node parent, token_id token) const {
  std::uint64_t h =
      (std::uint64_t{parent} << 32 | static_cast<std::uint32_t>(token)) * 0x9E3779B97F4A7C15;
  h = (h ^ h >> 32) * 0xD6E8FEB86659FD93;
  std::size_t at = (h ^ h >> 32) & (slot_.size() - 1);
  for (; slot_[at] != root; at = (at + 1) & (slot_.size() - 1))
    if (node_[slot_[at]].parent == parent && node_[slot_[at]].token == token) break;
  return at;
}

WEIR_INLINE void token_trie::link() {
  std::fill(slot_.begin(), slot_.end(), root);
  node_[root] = {0, none, none, none, 0};
  for (node n = 1; n < used_; ++n) {
    entry& e = node_[n];
    e.child = none;
    e.sibling = node_[e.parent].child;
    node_[e.parent].child = n;
    slot_[place(e.parent, e.token)] = n;
  }
}

WEIR_INLINE void trie_writer::write(token_trie& trie, token_id token) {
  if (generation_ != trie.generation()) cut();
  generation_ = trie.generation();
  for (std::size_t i = std::min(count_ + 1, open_.size()); i-- > 0;) {
    open_[i] = trie.visit(i == 0 ? token_trie::root : open_[i - 1], token);
    if (open_[i] == token_trie::none) return;
  }
  count_ = std::min(count_ + 1, open_.size());
}

}  // namespace weir::inline WEIR_TARGET
