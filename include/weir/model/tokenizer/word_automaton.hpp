// Aho and Corasick's automaton: all words of a list looked for at once, in time linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// Reads a text from its end and knows, at each byte, the longest word that starts there. n bytes
/// read take O(n) steps whatever the words are. 16 bytes of memory for each byte of the words, or
/// less where words end alike. Keeps numbers only: which word is which is the caller's to know.
class word_automaton {
 public:
  using state = std::uint32_t;
  static constexpr state at_end = 0;  ///< of the text: nothing was read yet
  static constexpr std::uint32_t none = 0xFFFFFFFFu;

  /// Finds nothing.
  word_automaton() : word_automaton(std::span<const std::string_view>()) {}

  /// `words` are different, none is empty, and their bytes are fewer than 2³¹. O(b log w) for b
  /// bytes in w words.
  explicit word_automaton(std::span<const std::string_view> words);

  /// Reads the byte before those that `s` has read. `steps` is raised by the states looked at: at
  /// most two for each byte of a whole reading.
  state read(state s, unsigned char byte, std::uint64_t& steps) const;

  /// The number of the longest word that starts with the byte read last; none.
  std::uint32_t longest(state s) const { return nodes_[s].longest; }

  /// The longest word that `word` starts with, other than itself; none.
  std::uint32_t shorter(std::uint32_t word) const { return shorter_[word]; }

 private:
  /// What may yet become a word: some word's last bytes. Its children, one byte longer to the left,
  /// lie one after the other, by byte; they end where those of the next node begin.
  struct node {
    std::uint32_t first_child;
    std::uint32_t fail;     // the longest other node that this one starts with
    std::uint32_t longest;  // word that this node starts with or is
    unsigned char byte;     // its first
  };

  /// The child of `s` for `byte`; none. O(1): eight comparisons at most.
  std::uint32_t child(state s, unsigned char byte) const;

  std::vector<node> nodes_;             // by length; one more at the end
  std::vector<std::uint32_t> shorter_;  // [word]
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/word_automaton.inl.hpp>
#endif
