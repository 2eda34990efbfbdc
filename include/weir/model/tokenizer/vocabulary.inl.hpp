// Bodies of model/tokenizer/vocabulary.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/name_index.hpp>
#include <weir/model/gguf/quoted.hpp>
#include <weir/model/tokenizer/utf8.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>
#include <weir/model/tokenizer/word_automaton.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE vocabulary::vocabulary(const gguf_file& file) {
  const gguf_strings strings = file.get_strings(tokens_key);
  const auto scores = file.get_floats(scores_key);
  const auto kinds = file.get_ints(kinds_key);
  require(!strings.empty(), file, tokens_key, "is empty; expected at least one token");
  require(strings.size() < max_tokens, file, tokens_key, "has ", strings.size(),
          " tokens; expected fewer than ", max_tokens);
  require(scores.size() == strings.size(), file, scores_key, "has ", scores.size(),
          " elements; expected one for each of ", strings.size(), " tokens");
  require(kinds.size() == strings.size(), file, kinds_key, "has ", kinds.size(),
          " elements; expected one for each of ", strings.size(), " tokens");

  const std::vector<std::string_view> raw(strings.begin(), strings.end());
  require_text(file, raw);
  const name_index names = index_first(raw);
  if (file.contains(merges_key)) require_known_merges(file, raw, names);

  scores_.reserve(raw.size());
  kinds_.reserve(raw.size());
  ends_.reserve(raw.size());
  byte_tokens_.fill(-1);
  for (std::size_t i = 0; i < raw.size(); ++i) add(file, i, raw[i], scores[i], kinds[i]);
  index_matchable(raw);
}

WEIR_INLINE std::string_view vocabulary::text(token_id id) const {
  const auto i = static_cast<std::size_t>(id);
  const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(text_).substr(begin, ends_[i] - begin);
}

WEIR_INLINE std::optional<token_id> vocabulary::find(std::string_view text) const {
  if (text.size() > longest_) return std::nullopt;
  const auto i = matchable_.find(text, text_of{*this});
  if (!i) return std::nullopt;
  return static_cast<token_id>(*i);
}

WEIR_INLINE void vocabulary::match_user_defined(std::string_view text,
                                                std::span<std::uint16_t> sizes,
                                                std::uint64_t& steps) const {
  if (user_defined_sizes_.empty()) {
    std::ranges::fill(sizes, std::uint16_t{0});
    return;
  }
  auto state = detail::word_automaton::at_end;
  for (std::size_t i = text.size(); i-- > 0;) {
    state = user_defined_.read(state, static_cast<unsigned char>(text[i]), steps);
    const std::uint32_t word = user_defined_.longest(state);
    sizes[i] = word == detail::word_automaton::none ? std::uint16_t{0} : user_defined_sizes_[word];
  }
}

WEIR_INLINE void vocabulary::require_text(const gguf_file& file,
                                          const std::vector<std::string_view>& raw) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    require(raw[i].size() <= max_token_bytes, file, tokens_key, "has token ", i, " of ",
            raw[i].size(), " bytes; expected at most ", max_token_bytes);
    require(utf8::is_valid(raw[i]), file, tokens_key, "has token ", i,
            ", which is not valid UTF-8");
    bytes += raw[i].size();
  }
  require(bytes < max_bytes, file, tokens_key, "has ", bytes,
          " bytes of text; expected fewer than ", max_bytes);
}

WEIR_INLINE name_index vocabulary::index_first(const std::vector<std::string_view>& raw) {
  name_index names(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    names.insert(raw[i], static_cast<std::uint32_t>(i), [&](std::uint32_t n) { return raw[n]; });
  }
  return names;
}

WEIR_INLINE void vocabulary::require_known_merges(const gguf_file& file,
                                                  const std::vector<std::string_view>& raw,
                                                  const name_index& names) {
  const auto known = [&](std::string_view token) {
    return names.find(token, [&](std::uint32_t n) { return raw[n]; }).has_value();
  };
  std::size_t i = 0;
  std::string whole;
  for (const std::string_view merge : file.get_strings(merges_key)) {
    require(merge.size() <= 2 * max_token_bytes + 1, file, merges_key, "has merge ", i, " of ",
            merge.size(), " bytes; expected two tokens");
    const std::size_t blank = merge.find(' ', merge.empty() ? 0 : 1);
    require(blank != std::string_view::npos, file, merges_key, "has merge ", i, " ", quoted{merge},
            "; expected two tokens with a blank between them");
    const std::string_view left = merge.substr(0, blank);
    const std::string_view right = merge.substr(blank + 1);
    whole.assign(left).append(right);
    for (const std::string_view part : {left, right, std::string_view(whole)})
      require(known(part), file, merges_key, "has merge ", i, " ", quoted{merge}, "; ",
              quoted{part}, " is not in the vocabulary");
    ++i;
  }
}

WEIR_INLINE void vocabulary::add(const gguf_file& file, std::size_t i, std::string_view raw,
                                 float score, std::int32_t kind) {
  require(std::isfinite(score), file, scores_key, "is ", score, " for token ", i, " ", quoted{raw},
          "; expected a finite number");
  require(kind >= 1 && kind <= 6, file, kinds_key, "is ", kind, " for token ", i, " ", quoted{raw},
          "; expected 1 ... 6");
  scores_.push_back(score);
  kinds_.push_back(static_cast<token_kind>(kind));
  if (kinds_.back() == token_kind::byte) {
    const int byte = parse_byte(raw);
    require(byte >= 0, file, tokens_key, "has byte token ", i, " ", quoted{raw},
            "; expected <0x00> ... <0xFF>");
    token_id& slot = byte_tokens_[static_cast<std::size_t>(byte)];
    require(slot < 0, file, tokens_key, "has byte token ", i, " ", quoted{raw},
            " for the same byte as token ", slot);
    slot = static_cast<token_id>(i);
    text_ += static_cast<char>(byte);
  } else {
    for (std::size_t at; (at = raw.find(metaspace)) != std::string_view::npos;
         raw.remove_prefix(at + metaspace.size()))
      text_.append(raw.substr(0, at)).push_back(' ');
    text_ += raw;
  }
  const std::size_t begin = ends_.empty() ? 0 : ends_.back();
  ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  longest_ = std::max(longest_, text_.size() - begin);
}

WEIR_INLINE int vocabulary::parse_byte(std::string_view raw) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (raw.size() != 6 || !raw.starts_with("<0x") || raw[5] != '>') return -1;
  const int high = digit(raw[3]);
  const int low = digit(raw[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

WEIR_INLINE void vocabulary::index_matchable(const std::vector<std::string_view>& raw) {
  matchable_ = name_index(size());
  const auto add = [&](std::size_t i) {
    const auto number = static_cast<std::uint32_t>(i);
    return !matchable_.insert(text(static_cast<token_id>(i)), number, text_of{*this}).has_value();
  };
  // Spelled with a blank or a metaspace, a user-defined token matches the same text: keep one.
  std::vector<std::string_view> user_defined;
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string_view whole = text(static_cast<token_id>(i));
    if (kinds_[i] != token_kind::user_defined || whole.empty() || !add(i)) continue;
    user_defined.push_back(whole);
    user_defined_sizes_.push_back(static_cast<std::uint16_t>(whole.size()));
  }
  user_defined_ = detail::word_automaton(user_defined);
  // A normal token spelled with a real blank never occurs in text whose blanks are metaspaces.
  for (std::size_t i = 0; i < size(); ++i)
    if (kinds_[i] == token_kind::normal && !raw[i].empty() &&
        raw[i].find(' ') == std::string_view::npos)
      add(i);
}

}  // namespace weir::inline WEIR_TARGET
