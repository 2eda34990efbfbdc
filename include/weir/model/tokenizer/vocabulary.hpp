// The pieces of a SentencePiece vocabulary: text, score and kind of each token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/name_index.hpp>
#include <weir/model/tokenizer/word_automaton.hpp>

namespace weir::inline WEIR_TARGET {

/// Token kinds as stored in files.
enum class token_kind : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

/// Checked copy of a GGUF file's token list. Holds each token as the text that it stands for: the
/// metaspace U+2581 has become a blank, a byte token its byte.
class vocabulary {
 public:
  /// Throws `error::bad_file` naming key and token. O(bytes of the vocabulary).
  explicit vocabulary(const gguf_file& file);

  std::size_t size() const { return ends_.size(); }

  // The next three take ids in [0, size()).

  std::string_view text(token_id id) const;
  float score(token_id id) const { return scores_[static_cast<std::size_t>(id)]; }
  token_kind kind(token_id id) const { return kinds_[static_cast<std::size_t>(id)]; }

  /// Bytes of the longest piece.
  std::size_t longest() const { return longest_; }

  /// The token that stands for a single byte.
  std::optional<token_id> byte_token(unsigned char byte) const {
    if (byte_tokens_[byte] < 0) return std::nullopt;
    return byte_tokens_[byte];
  }

  /// The token that reads as `text`: a user-defined one, else a normal one; of several the first.
  /// O(size of text), O(1) beyond the longest piece.
  std::optional<token_id> find(std::string_view text) const;

  /// Writes to `sizes[i]` the bytes of the longest user-defined token that starts at `text[i]`, 0
  /// where none does. O(n) for n bytes, whatever the tokens are. Raises `steps` by the comparisons.
  void match_user_defined(std::string_view text, std::span<std::uint16_t> sizes,
                          std::uint64_t& steps) const;

 private:
  static constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
  static constexpr std::string_view scores_key = "tokenizer.ggml.scores";
  static constexpr std::string_view kinds_key = "tokenizer.ggml.token_type";
  static constexpr std::string_view merges_key = "tokenizer.ggml.merges";
  static constexpr std::string_view metaspace = "\xE2\x96\x81";
  static constexpr std::size_t max_token_bytes = 65535;
  static constexpr std::size_t max_tokens = std::size_t{1} << 30;
  static constexpr std::size_t max_bytes = std::size_t{1} << 31;

  struct text_of {
    const vocabulary& v;
    std::string_view operator()(std::uint32_t i) const { return v.text(static_cast<token_id>(i)); }
  };

  template <class... Parts>
  static void require(bool holds, const gguf_file& file, std::string_view key, Parts&&... parts) {
    error::require<error::bad_file>(holds, file.name(), ": key '", key, "' ",
                                    std::forward<Parts>(parts)...);
  }

  static void require_text(const gguf_file& file, const std::vector<std::string_view>& raw);

  /// Of equal tokens the first.
  static name_index index_first(const std::vector<std::string_view>& raw);

  /// Scores decide here, not merges; but merges that name nothing show a broken file.
  static void require_known_merges(const gguf_file& file, const std::vector<std::string_view>& raw,
                                   const name_index& names);

  void add(const gguf_file& file, std::size_t i, std::string_view raw, float score,
           std::int32_t kind);

  /// The byte of a token spelled `<0xHH>`, or −1. Two digits, nothing else.
  static int parse_byte(std::string_view raw);

  void index_matchable(const std::vector<std::string_view>& raw);

  std::string text_;                 // of all tokens, one after the other
  std::vector<std::uint32_t> ends_;  // in text_
  std::vector<float> scores_;
  std::vector<token_kind> kinds_;
  std::array<token_id, 256> byte_tokens_;
  name_index matchable_;
  std::vector<std::uint16_t> user_defined_sizes_;  // [word of user_defined_]
  detail::word_automaton user_defined_;
  std::size_t longest_ = 0;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/vocabulary.inl.hpp>
#endif
