// What was said, as a trie of short runs of tokens, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>

namespace weir::inline WEIR_TARGET {

/// Runs of tokens and how often each was seen. Node 0 is where all of them start; a node stands for
/// the tokens on the way to it, and is never less frequent than its children.
///
/// When a node is needed and there is none left, the trie is squeezed until half of them are free:
/// what was seen often survives. All memory is taken at construction.
class token_trie {
 public:
  using node = std::uint32_t;
  static constexpr node root = 0, none = 0xFFFFFFFF;

  /// Room for `nodes` nodes below the root.
  /// Throws error::bad_config for none or 2^31 of them, error::out_of_memory.
  explicit token_trie(std::size_t nodes) WEIR_TRY : node_(checked(nodes) + 1), slot_(slots(nodes)) {
    clear();
  }
  WEIR_OR_OUT_OF_MEMORY("token_trie")
  static std::size_t required_bytes(std::size_t nodes) {
    return (checked(nodes) + 1) * sizeof(entry) + slots(nodes) * sizeof(node);
  }
  std::size_t bytes() const { return required_bytes(node_.size() - 1); }

  token_id token(node n) const { return node_[n].token; }
  float frequency(node n) const { return node_[n].frequency; }
  /// Children, the newest first; `none` behind the last.
  node first_child(node n) const { return node_[n].child; }
  node next_sibling(node n) const { return node_[n].sibling; }
  /// The child of `parent` with this token, or `none`. O(1).
  node child(node parent, token_id token) const {
    const node n = slot_[place(parent, token)];
    return n == root ? none : n;
  }
  /// Nodes below the root.
  std::size_t size() const { return used_ - 1; }
  /// Changes when nodes cease to mean what they meant.
  std::uint64_t generation() const { return generation_; }

  /// Counts that the tokens on the way to `parent` were followed by `token`. Returns that child, or
  /// `none` if the trie had to be squeezed instead. O(1), O(nodes) when squeezed.
  node visit(node parent, token_id token);

  /// Halves frequencies, and drops what was seen once. O(nodes).
  void squeeze();

  void clear();

 private:
  struct entry {
    token_id token;
    node parent, child, sibling;
    float frequency;
  };

  static std::size_t checked(std::size_t nodes);
  static std::size_t slots(std::size_t nodes);
  /// Where the child is in the table, or would be.
  std::size_t place(node parent, token_id token) const;
  /// Makes children, siblings and the table from parents and tokens.
  void link();

  std::vector<entry> node_;  // [node] the first `used_`
  std::vector<node> slot_;   // hash table of nodes, open addressing; root: free
  std::size_t used_ = 1;
  std::uint64_t generation_ = 0;
};

/// Enters all runs of `length` tokens of one stream into a trie, token by token: each token extends
/// the runs that are open, and starts one. When a trie is squeezed, runs start anew.
class trie_writer {
 public:
  explicit trie_writer(std::size_t length) : open_(length) {}
  static std::size_t required_bytes(std::size_t length) {
    return checked_product(length, sizeof(token_trie::node));
  }

  /// O(length).
  void write(token_trie& trie, token_id token);
  /// No run goes on from here.
  void cut() { count_ = 0; }

 private:
  std::vector<token_trie::node> open_;  // [i] the run that started i tokens before the newest
  std::size_t count_ = 0;
  std::uint64_t generation_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/token_trie.inl.hpp>
#endif
