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
  std::size_t show = std::string::npos;
  for (const std::string& s : stops_) show = std::min(show, held_.find(s));
  stopped_ = show != std::string::npos;
  if (!stopped_) show = held_.size() - longest_beginning();
  shown_.assign(held_, 0, show);
  stopped_ ? held_.clear() : static_cast<void>(held_.erase(0, show));
  return shown_;
}

WEIR_INLINE std::string_view stop_matcher::flush() {
  shown_ = held_;
  held_.clear();
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
