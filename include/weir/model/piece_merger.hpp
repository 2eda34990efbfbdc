// SentencePiece BPE: joins neighbours, best score first, until no pair is in the vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// One encoding of one text. O(n log n) for n bytes. Of pairs with equal scores the leftmost joins
/// first. Pieces marked unused never form, also not on the way to a longer piece.
class piece_merger {
 public:
  piece_merger(const vocabulary& pieces, std::string_view text);

  /// Calls `emit(text, token)` for each piece in order; `token` is −1 where no piece matched.
  template <class Emit>
  void for_each(const Emit& emit) const {
    if (symbols_.empty()) return;
    for (std::uint32_t i = 0; i != none; i = symbols_[i].next)
      emit(symbols_[i].text, symbols_[i].token);
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFFu;

  struct symbol {
    std::string_view text;  // empty once it has been joined to the left
    token_id token;         // −1: not in the vocabulary
    bool fixed;             // a user-defined token, which joins with nothing
    std::uint32_t previous, next;
  };

  struct pair {
    float score;
    std::uint32_t left, right;
    token_id token;
    std::size_t bytes;
    // The queue's top is its greatest element: highest score, then leftmost.
    friend bool operator<(const pair& a, const pair& b) {
      return a.score < b.score || (a.score == b.score && a.left > b.left);
    }
  };

  void split(std::string_view text);

  void consider(std::uint32_t left, std::uint32_t right);

  const vocabulary& pieces_;
  std::vector<symbol> symbols_;
  std::priority_queue<pair> pairs_;
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/piece_merger.inl.hpp>
#endif
