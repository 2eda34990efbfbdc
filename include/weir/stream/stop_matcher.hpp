// Stop strings in a stream of text: nothing of one is ever shown, however it is cut into pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Holds back text that may turn out to be the beginning of a stop string.
class stop_matcher {
 public:
  stop_matcher() = default;
  /// `longest_piece`: bytes that `push` gets at most, so that it need not allocate.
  stop_matcher(std::vector<std::string> stops, std::size_t longest_piece)
      : stops_(std::move(stops)) {
    std::size_t longest = 0;
    for (const std::string& s : stops_) {
      error::require<error::bad_config>(!s.empty(), "stop string: empty (expected text)");
      longest = std::max(longest, s.size());
    }
    held_.reserve(longest + longest_piece);
    shown_.reserve(longest + longest_piece);
  }

  /// Text that may be shown now that `text` has come, valid until the next call. Once `stopped`,
  /// what follows the stop string is dropped. O(held · stop strings).
  std::string_view push(std::string_view text) {
    held_ += text;
    std::size_t show = std::string::npos;
    for (const std::string& s : stops_) show = std::min(show, held_.find(s));
    stopped_ = show != std::string::npos;
    if (!stopped_) show = held_.size() - longest_beginning();
    shown_.assign(held_, 0, show);
    stopped_ ? held_.clear() : static_cast<void>(held_.erase(0, show));
    return shown_;
  }
  /// The text held back, because nothing will complete it.
  std::string_view flush() {
    shown_ = held_;
    held_.clear();
    return shown_;
  }
  /// True if the last `push` found a stop string.
  bool stopped() const { return stopped_; }
  void reset() {
    held_.clear();
    stopped_ = false;
  }

 private:
  /// Bytes at the end of the held text that begin a stop string.
  std::size_t longest_beginning() const {
    std::size_t longest = 0;
    for (const std::string& s : stops_)
      for (std::size_t n = std::min(s.size() - 1, held_.size()); n > longest; --n)
        if (std::string_view(held_).ends_with(std::string_view(s).substr(0, n))) longest = n;
    return longest;
  }

  std::vector<std::string> stops_;
  std::string held_, shown_;
  bool stopped_ = false;
};

}  // namespace weir::inline WEIR_TARGET
