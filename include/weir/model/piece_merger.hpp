// SentencePiece BPE: joins neighbours, best score first, until no pair is in the vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/utf8.hpp>
#include <weir/model/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// One encoding of one text. O(n log n) for n bytes. Of pairs with equal scores the leftmost joins
/// first. Pieces marked unused never form, also not on the way to a longer piece.
class piece_merger {
 public:
  piece_merger(const vocabulary& pieces, std::string_view text) : pieces_(pieces) {
    split(text);
    for (std::uint32_t i = 1; i < symbols_.size(); ++i) consider(i - 1, i);
    while (!pairs_.empty()) {
      const pair p = pairs_.top();
      pairs_.pop();
      symbol& left = symbols_[p.left];
      symbol& right = symbols_[p.right];
      // Since the pair was seen either side may have gone, or grown, which changes the sum.
      if (left.text.empty() || right.text.empty()) continue;
      if (left.text.size() + right.text.size() != p.bytes) continue;
      left.text = {left.text.data(), p.bytes};
      left.token = p.token;
      left.next = right.next;
      right.text = {};
      if (left.next != none) symbols_[left.next].previous = p.left;
      if (left.previous != none) consider(left.previous, p.left);
      if (left.next != none) consider(p.left, left.next);
    }
  }

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

  void split(std::string_view text) {
    while (!text.empty()) {
      const auto user_defined = pieces_.find_user_defined(text);
      const std::size_t length =
          user_defined ? pieces_.text(*user_defined).size() : utf8::first_sequence(text).length;
      const std::string_view part = text.substr(0, length);
      const auto i = static_cast<std::uint32_t>(symbols_.size());
      symbols_.push_back({part, user_defined ? *user_defined : pieces_.find(part).value_or(-1),
                          user_defined.has_value(), i == 0 ? none : i - 1, i + 1});
      text.remove_prefix(length);
    }
    if (!symbols_.empty()) symbols_.back().next = none;
  }

  void consider(std::uint32_t left, std::uint32_t right) {
    const symbol& a = symbols_[left];
    const symbol& b = symbols_[right];
    if (a.fixed || b.fixed) return;
    const std::size_t bytes = a.text.size() + b.text.size();
    const auto token = pieces_.find({a.text.data(), bytes});  // neighbours in one text
    if (token) pairs_.push({pieces_.score(*token), left, right, *token, bytes});
  }

  const vocabulary& pieces_;
  std::vector<symbol> symbols_;
  std::priority_queue<pair> pairs_;
};

}  // namespace weir::inline WEIR_TARGET::detail
