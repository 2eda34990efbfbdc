// Bodies of stream/stop_matcher.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/stream/stop_matcher.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE stop_matcher::stop_matcher(std::vector<std::string> stops, std::size_t longest_piece)
    : stops_(std::move(stops)) {
  std::size_t longest = 0;
  for (const std::string& s : stops_) {
    error::require<error::bad_config>(!s.empty(), "stop string: empty (expected text)");
    longest = std::max(longest, s.size());
  }
  held_.reserve(longest + longest_piece);
  shown_.reserve(longest + longest_piece);
}

WEIR_INLINE std::string_view stop_matcher::push(std::string_view text) {
  held_ += text;
  std::size_t start = held_.size(), end = std::string::npos;
  for (const std::string& s : stops_) {
    const std::size_t at = held_.find(s);
    if (at == std::string::npos || at + s.size() > end || (at + s.size() == end && at > start))
      continue;
    start = at;
    end = at + s.size();
  }
  stopped_ = end != std::string::npos;
  if (!stopped_) start = held_.size() - longest_beginning();
  shown_.assign(held_, std::min(held_shown_, start), start - std::min(held_shown_, start));
  held_.erase(0, stopped_ ? held_.size() : start);
  held_shown_ -= std::min(held_shown_, stopped_ ? held_shown_ : start);
  return shown_;
}

WEIR_INLINE std::string_view stop_matcher::show_held() {
  shown_.assign(held_, held_shown_);
  held_shown_ = held_.size();
  return shown_;
}

WEIR_INLINE std::size_t stop_matcher::longest_beginning() const {
  std::size_t longest = 0;
  for (const std::string& s : stops_)
    for (std::size_t n = std::min(s.size() - 1, held_.size()); n > longest; --n)
      if (std::string_view(held_).ends_with(std::string_view(s).substr(0, n))) longest = n;
  return longest;
}

}  // namespace weir::inline WEIR_TARGET
