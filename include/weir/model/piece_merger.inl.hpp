// Bodies of model/piece_merger.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/piece_merger.hpp>
#include <weir/model/utf8.hpp>
#include <weir/model/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE piece_merger::piece_merger(const vocabulary& pieces, std::string_view text)
    : pieces_(pieces) {
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

WEIR_INLINE void piece_merger::split(std::string_view text) {
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

WEIR_INLINE void piece_merger::consider(std::uint32_t left, std::uint32_t right) {
  const symbol& a = symbols_[left];
  const symbol& b = symbols_[right];
  if (a.fixed || b.fixed) return;
  const std::size_t bytes = a.text.size() + b.text.size();
  const auto token = pieces_.find({a.text.data(), bytes});  // neighbours in one text
  if (token) pairs_.push({pieces_.score(*token), left, right, *token, bytes});
}

}  // namespace weir::inline WEIR_TARGET::detail
