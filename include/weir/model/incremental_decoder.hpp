// Token ids to text as they come, never cutting a character in two.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer.hpp>
#include <weir/model/utf8.hpp>

namespace weir::inline WEIR_TARGET {

/// Feeds on tokens and gives well-formed UTF-8. Byte tokens may spell a character piecemeal: its
/// bytes are held back, at most three, until the last one comes. Bytes that no continuation can
/// complete become U+FFFD. `push` and `flush` never allocate. Refers to the tokenizer.
class incremental_decoder {
 public:
  /// `at_start`: whether the stream starts here, so that the blank before its first word is not
  /// text. Pass false to go on behind a prompt.
  explicit incremental_decoder(const tokenizer& vocabulary, bool at_start = true)
      : vocabulary_(&vocabulary), at_start_(at_start) {
    const std::size_t most = vocabulary.longest_piece() + utf8::replacement.size() + most_held;
    pending_.reserve(most);
    text_.reserve(most * utf8::replacement.size());
  }

  /// The text that `id` completes, valid until the next call. Throws `error::bad_input` for an id
  /// outside the vocabulary and is then as it was. O(size of the piece).
  std::string_view push(token_id id) {
    vocabulary_->require_in_vocabulary(std::span(&id, 1));
    pending_ += vocabulary_->text_in_stream(id, at_start_);
    return take(false);
  }

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
  static constexpr std::size_t most_held = 3;

  std::string_view take(bool all) {
    text_.clear();
    std::string_view rest = pending_;
    while (!rest.empty()) {
      const utf8::sequence s = utf8::first_sequence(rest);
      if (s.kind == utf8::status::cut && !all) break;
      text_ += s.kind == utf8::status::whole ? rest.substr(0, s.length) : utf8::replacement;
      rest.remove_prefix(s.length);
    }
    pending_.erase(0, pending_.size() - rest.size());
    return text_;
  }

  const tokenizer* vocabulary_;
  bool at_start_;
  std::string pending_;
  std::string text_;
};

}  // namespace weir::inline WEIR_TARGET
