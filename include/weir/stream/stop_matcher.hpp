// Stop strings in a stream of text: nothing of one is ever shown, however it is cut into pieces.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Holds back text that may turn out to be the beginning of a stop string.
class stop_matcher {
 public:
  stop_matcher() = default;
  /// `longest_piece`: bytes that `push` gets at most, so that it need not allocate.
  stop_matcher(std::vector<std::string> stops, std::size_t longest_piece);

  /// Text that may be shown now that `text` has come, valid until the next call. Once `stopped`,
  /// what follows the stop string is dropped. O(held · stop strings).
  std::string_view push(std::string_view text);
  /// The text held back, because nothing will complete it.
  std::string_view flush();
  /// True if the last `push` found a stop string.
  bool stopped() const { return stopped_; }
  void reset() {
    held_.clear();
    stopped_ = false;
  }

 private:
  /// Bytes at the end of the held text that begin a stop string.
  std::size_t longest_beginning() const;

  std::vector<std::string> stops_;
  std::string held_, shown_;
  bool stopped_ = false;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/stream/stop_matcher.inl.hpp>
#endif
