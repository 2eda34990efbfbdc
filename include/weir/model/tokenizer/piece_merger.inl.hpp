// Bodies of model/tokenizer/piece_merger.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/leftmost_largest.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/piece_merger.hpp>
#include <weir/model/tokenizer/utf8.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE piece_merger::piece_merger(const vocabulary& pieces, const piece_joins& joins,
                                       std::string_view text)
    : pieces_(pieces), joins_(joins), text_(text), sizes_(text.size()) {
  // First of the user-defined token that starts at each byte, which words then overwrite.
  pieces.match_user_defined(text, sizes_, steps_);
  split();
  symbols_ = std::vector<std::uint32_t>();
  scores_ = leftmost_largest();
}

WEIR_INLINE std::size_t piece_merger::max_tokens() const {
  std::size_t most = 0;
  for (std::size_t at = 0; at < text_.size(); at += sizes_[at])
    most += character(at).size() == sizes_[at] ? std::size_t{sizes_[at]} : 1;
  return most;
}

WEIR_INLINE std::string_view piece_merger::character(std::size_t at) const {
  return text_.substr(at, utf8::first_sequence(text_.substr(at)).length);
}

WEIR_INLINE void piece_merger::split() {
  for (std::size_t at = 0; at < text_.size();) {
    std::size_t end = at + sizes_[at];
    if (end > at) {
      mark(at, end - at);
    } else {
      end = end_of_word(at);
      merge(at, end);
    }
    at = end;
  }
}

WEIR_INLINE std::size_t piece_merger::end_of_word(std::size_t begin) {
  std::string_view last = character(begin);
  std::uint32_t left = joins_.symbol_of(last);
  std::size_t at = begin + last.size();
  while (left != piece_joins::none && at < text_.size() && sizes_[at] == 0) {
    last = character(at);
    const std::uint32_t right = joins_.symbol_of(last);
    steps_ += 2;
    if (right == piece_joins::none || joins_.joined(left, right) == piece_joins::none) break;
    left = right;
    at += last.size();
  }
  return at;
}

WEIR_INLINE void piece_merger::merge(std::size_t begin, std::size_t end) {
  const std::size_t n = end - begin;
  if (const std::size_t first = character(begin).size(); first == n) return mark(begin, n);
  if (n > symbols_.size()) {
    symbols_ = std::vector<std::uint32_t>();  // not the old ones beside the new ones
    symbols_.resize(n);
  }
  scores_.assign(n);
  const auto size_at = [&](std::size_t i) { return std::size_t{sizes_[begin + i]}; };
  for (std::size_t i = 0, before = 0; i < n;) {
    const std::string_view here = character(begin + i);
    mark(begin + i, here.size());
    symbols_[i] = joins_.symbol_of(here);
    if (i > 0) scores_.set(before, score(before, i), steps_);
    before = i;
    i += here.size();
  }
  while (scores_.largest() > leftmost_largest::least) {
    const std::size_t left = scores_.index(steps_);
    const std::size_t right = left + size_at(left);
    const std::size_t next = right + size_at(right);
    symbols_[left] = joins_.joined(symbols_[left], symbols_[right]);
    mark(begin + left, next - left);
    scores_.set(right, leftmost_largest::least, steps_);
    scores_.set(left, next < n ? score(left, next) : leftmost_largest::least, steps_);
    if (left == 0) continue;
    const std::size_t previous = left - size_at(left - 1);
    scores_.set(previous, score(previous, left), steps_);
  }
}

WEIR_INLINE void piece_merger::mark(std::size_t begin, std::size_t size) {
  sizes_[begin] = sizes_[begin + size - 1] = static_cast<std::uint16_t>(size);
}

WEIR_INLINE float piece_merger::score(std::size_t left, std::size_t right) {
  ++steps_;
  const std::uint32_t token = joins_.joined(symbols_[left], symbols_[right]);
  if (token >= piece_joins::apart) return leftmost_largest::least;
  return pieces_.score(static_cast<token_id>(token));
}

}  // namespace weir::inline WEIR_TARGET::detail
