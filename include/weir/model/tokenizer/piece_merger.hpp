// SentencePiece BPE: joins neighbours, best score first, until no pair is in the vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/leftmost_largest.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// One encoding of one text. O(n log n) for n bytes, whatever the vocabulary. Of pairs with equal
/// scores the leftmost joins first. Pieces marked unused never form, also not on the way to a
/// longer piece.
///
/// Neighbours that no piece holds side by side never join, nor do user-defined tokens: what lies
/// between two such places, mostly a word, is worked on alone. Memory: 2 bytes for each of the
/// text, and 8.6 for each of its longest word, only while it is made.
class piece_merger {
 public:
  /// The three must outlive it. `text` is shorter than 2³¹ bytes.
  piece_merger(const vocabulary& pieces, const piece_joins& joins, std::string_view text);

  /// Calls `emit(text, token)` for each piece in order; `token` is −1 where no piece matched. O(n).
  template <class Emit>
  void for_each(const Emit& emit) const {
    for (std::size_t at = 0; at < text_.size(); at += sizes_[at]) {
      const std::string_view part = text_.substr(at, sizes_[at]);
      // Where a user-defined token starts no normal piece does, so that the text tells which it is.
      emit(part, pieces_.find(part).value_or(-1));
    }
  }

  /// Tokens that the text becomes at most: where a character has none, one for each byte. O(n).
  std::size_t max_tokens() const;

  /// How many look-ups and comparisons it took: a number of O(n log n).
  std::uint64_t steps() const { return steps_; }

 private:
  std::string_view character(std::size_t at) const;

  /// Cuts the text into user-defined tokens and words, and works on these.
  void split();
  std::size_t end_of_word(std::size_t begin);
  void merge(std::size_t begin, std::size_t end);

  /// Writes down that [begin, begin + size) is one symbol: at its first byte and at its last one.
  void mark(std::size_t begin, std::size_t size);

  /// The score of what the symbols at two bytes of a word join into.
  float score(std::size_t left, std::size_t right);

  const vocabulary& pieces_;
  const piece_joins& joins_;
  std::string_view text_;
  std::uint64_t steps_ = 0;
  std::vector<std::uint16_t> sizes_;    // [byte] of the symbol that starts or ends there
  std::vector<std::uint32_t> symbols_;  // [byte of the word] what starts there
  leftmost_largest scores_;             // [byte of the word] with the symbol behind it
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/piece_merger.inl.hpp>
#endif
