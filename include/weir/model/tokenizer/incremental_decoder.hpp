// Token ids to text as they come, never cutting a character in two.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

namespace weir::inline WEIR_TARGET {

/// Feeds on tokens and gives well-formed UTF-8. Byte tokens may spell a character piecemeal: its
/// bytes are held back, at most three, until the last one comes. Bytes that no continuation can
/// complete become U+FFFD. `push` and `flush` never allocate. Refers to the tokenizer.
class incremental_decoder {
 public:
  /// `at_start`: whether the stream starts here, so that the blank before its first word is not
  /// text. Pass false to go on behind a prompt.
  explicit incremental_decoder(const tokenizer& vocabulary, bool at_start = true);

  /// The text that `id` completes, valid until the next call. Throws `error::bad_input` for an id
  /// outside the vocabulary and is then as it was. O(size of the piece).
  std::string_view push(token_id id);

  /// Ends the text: bytes still held back become U+FFFD. Valid until the next call.
  std::string_view flush() { return take(true); }

  /// Bytes held back, at most three.
  std::size_t held() const { return pending_.size(); }

  /// Forgets what is held back and starts another stream.
  void reset(bool at_start = true) {
    pending_.clear();
    at_start_ = at_start;
  }

 private:
  static constexpr std::size_t max_held = 3;

  std::string_view take(bool all);

  const tokenizer* vocabulary_;
  bool at_start_;
  std::string pending_;
  std::string text_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/incremental_decoder.inl.hpp>
#endif
