// Bodies of model/tokenizer/incremental_decoder.hpp.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/model/tokenizer/utf8.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE incremental_decoder::incremental_decoder(const tokenizer& vocabulary, bool at_start)
    : vocabulary_(&vocabulary), at_start_(at_start) {
  const std::size_t most = vocabulary.longest_piece() + utf8::replacement.size() + max_held;
  pending_.reserve(most);
  text_.reserve(most * utf8::replacement.size());
}

WEIR_INLINE std::string_view incremental_decoder::push(token_id id) {
  vocabulary_->require_in_vocabulary(std::span(&id, 1));
  pending_ += vocabulary_->text_in_stream(id, at_start_);
  return take(false);
}

WEIR_INLINE std::string_view incremental_decoder::take(bool all) {
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

}  // namespace weir::inline WEIR_TARGET
