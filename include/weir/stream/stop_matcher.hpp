// Stop strings in a stream of text: nothing of one is ever shown, however it is cut into pieces.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Holds back text that may turn out to be the beginning of a stop string. Of stop strings that
/// overlap, the one that is complete first counts, and of those that end together the longest: as
/// if the text came byte by byte.
class stop_matcher {
 public:
  stop_matcher() = default;
  /// `longest_piece`: bytes that `push` gets at most, so that it need not allocate.
  stop_matcher(std::vector<std::string> stops, std::size_t longest_piece);

  /// Text that may be shown now that `text` has come, valid until the next call. Once `stopped`,
  /// what follows the stop string is dropped. O(held · stop strings).
  std::string_view push(std::string_view text);
  /// The text held back and not shown yet, to be shown all the same. If more comes, it is still the
  /// beginning of a stop string.
  std::string_view show_held();
  /// True if text is held back that was not shown.
  bool holds() const { return held_.size() > held_shown_; }
  /// True if the last `push` found a stop string.
  bool stopped() const { return stopped_; }
  void reset() {
    held_.clear();
    held_shown_ = 0;
    stopped_ = false;
  }

 private:
  /// Bytes at the end of the held text that begin a stop string.
  std::size_t longest_beginning() const;

  std::vector<std::string> stops_;
  std::string held_, shown_;
  std::size_t held_shown_ = 0;  // bytes of held_ that were shown all the same
  bool stopped_ = false;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/stream/stop_matcher.inl.hpp>
#endif
