// Bodies of model/tokenizer/tokenizer.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/quoted.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/piece_merger.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE tokenizer::tokenizer(const gguf_file& file) WEIR_TRY
    : pieces_((require_llama(file), file)),
      joins_(pieces_),
      adds_space_prefix_(file.get_bool("tokenizer.ggml.add_space_prefix", true)),
      adds_bos_(file.get_bool("tokenizer.ggml.add_bos_token", true)),
      adds_eos_(file.get_bool("tokenizer.ggml.add_eos_token", false)) {
  bos_ = special(file, "tokenizer.ggml.bos_token_id", 1, token_kind::control);
  eos_ = special(file, "tokenizer.ggml.eos_token_id", 2, token_kind::control);
  unknown_ = special(file, "tokenizer.ggml.unknown_token_id", 0, token_kind::unknown);
  ends_ = find_ends(file);
}
WEIR_OR_OUT_OF_MEMORY("tokenizer")

WEIR_INLINE std::vector<token_id> tokenizer::encode(std::string_view text, text_marks marks) const {
  const auto put = [](mark how, bool by_file) {
    return how == mark::on || (how == mark::by_file && by_file);
  };
  const bool opens = put(marks.bos, adds_bos());
  const bool closes = put(marks.eos, adds_eos());
  error::require<error::bad_input>(text.size() < max_text_bytes, "text of ", text.size(),
                                   " bytes; expected fewer than ", max_text_bytes);
  error::require<error::bad_input>(!opens || bos_.has_value(),
                                   "BOS was asked for, but the vocabulary has none");
  error::require<error::bad_input>(!closes || eos_.has_value(),
                                   "EOS was asked for, but the vocabulary has none");
  const std::size_t blanks = !text.empty() && put(marks.prefix_blank, adds_space_prefix_) ? 1 : 0;
  std::string prefixed;
  if (blanks > 0) {
    prefixed.reserve(text.size() + 1);
    prefixed.append(1, ' ').append(text);
    text = prefixed;
  }
  const detail::piece_merger merged(pieces_, joins_, text);
  std::vector<token_id> tokens;
  tokens.reserve(merged.max_tokens() + 2);
  if (opens) tokens.push_back(*bos_);
  merged.for_each([&](std::string_view part, token_id token) {
    if (token >= 0)
      tokens.push_back(token);
    else  // what is wrong with the blank before the text is said of its first byte
      fall_back(part,
                std::max(static_cast<std::size_t>(part.data() - text.data()), blanks) - blanks,
                tokens);
  });
  if (closes) tokens.push_back(*eos_);
  return tokens;
}

WEIR_INLINE std::string tokenizer::decode(std::span<const token_id> tokens) const {
  require_in_vocabulary(tokens);
  std::string text;
  bool at_start = true;
  for (const token_id id : tokens) text += text_in_stream(id, at_start);
  return text;
}

WEIR_INLINE std::string_view tokenizer::text_in_stream(token_id id, bool& at_start) const {
  if (pieces_.kind(id) == token_kind::control) return {};
  std::string_view text = pieces_.text(id);
  if (pieces_.kind(id) == token_kind::unknown) text = utf8::replacement;
  if (at_start && adds_space_prefix_ && text.starts_with(' ')) text.remove_prefix(1);
  at_start = false;
  return text;
}

WEIR_INLINE void tokenizer::require_llama(const gguf_file& file) {
  constexpr std::string_view key = "tokenizer.ggml.model";
  const std::string_view model = file.get_string(key);
  error::require<error::bad_file>(model == "llama", file.name(), ": key '", key, "' is ",
                                  quoted{model}, "; expected 'llama'");
}

WEIR_INLINE std::optional<token_id> tokenizer::named(const gguf_file& file,
                                                     std::string_view key) const {
  const std::int64_t id = file.get_i64(key);
  if (id < 0 || id == 0xFFFFFFFF) return std::nullopt;  // how files say that there is none
  error::require<error::bad_file>(static_cast<std::uint64_t>(id) < vocab_size(), file.name(),
                                  ": key '", key, "' is ", id, "; the vocabulary has ",
                                  vocab_size(), " tokens");
  return static_cast<token_id>(id);
}

WEIR_INLINE std::vector<token_id> tokenizer::find_ends(const gguf_file& file) const {
  std::vector<token_id> ends;
  if (eos_) ends.push_back(*eos_);
  for (const std::string_view key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (file.contains(key))
      if (const auto id = named(file, key)) ends.push_back(*id);
  constexpr std::string_view names[] = {
      "</s>",          "<|endoftext|>",        "<|end_of_text|>", "<|im_end|>",
      "<|eot_id|>",    "<|eom_id|>",           "<|end|>",         "<|return|>",
      "<end_of_turn>", "<|end_of_turn|>",      "<|eot|>",         "<|eom|>",
      "<EOT>",         "<|end_of_role|>",      "[EOS]",           "<|endofturn|>",
      "<eos>",         "<|END_OF_TURN_TOKEN|>"};
  for (std::size_t i = 0; i < vocab_size(); ++i) {
    const auto id = static_cast<token_id>(i);
    if (pieces_.kind(id) == token_kind::control &&
        std::ranges::find(names, pieces_.text(id)) != std::end(names))
      ends.push_back(id);
  }
  std::ranges::sort(ends);
  ends.erase(std::ranges::unique(ends).begin(), ends.end());
  return ends;
}

WEIR_INLINE std::optional<token_id> tokenizer::special(const gguf_file& file, std::string_view key,
                                                       std::uint32_t otherwise,
                                                       token_kind expected) const {
  if (file.contains(key)) return named(file, key);
  const auto id = static_cast<token_id>(otherwise);
  if (otherwise >= vocab_size() || pieces_.kind(id) != expected) return std::nullopt;
  return id;
}

WEIR_INLINE void tokenizer::fall_back(std::string_view part, std::size_t offset,
                                      std::vector<token_id>& tokens) const {
  const std::size_t before = tokens.size();
  for (const char c : part) {
    const auto token = pieces_.byte_token(static_cast<unsigned char>(c));
    if (token) {
      tokens.push_back(*token);
      continue;
    }
    error::require<error::bad_input>(
        unknown_.has_value(), "byte ", static_cast<int>(static_cast<unsigned char>(c)),
        " at offset ", offset, " has no token, and the vocabulary has no unknown token");
    tokens.resize(before);
    tokens.push_back(*unknown_);
    return;
  }
}

}  // namespace weir::inline WEIR_TARGET
