// Text to token ids and back, as SentencePiece does it for the Llama family.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>

namespace weir::inline WEIR_TARGET {

/// Whether a token that opens or closes a text is put there.
enum class mark : std::uint8_t {
  by_file,  ///< as the model's file says
  on,
  off,
};
/// BOS before a text, EOS behind it, and whether the text is encoded as if a blank preceded it.
struct text_marks {
  mark bos = mark::by_file;
  mark eos = mark::by_file;
  mark prefix_blank = mark::by_file;
};

/// SentencePiece BPE with byte fallback, from a GGUF file's `tokenizer.ggml.*` keys. Keeps copies:
/// the file may go. Const calls may run in any number of threads.
///
/// Text is data: whatever it spells, it never becomes a control, unknown, byte or unused token.
/// Only normal pieces and user-defined tokens match text; the latter match first, longest first.
/// A metaspace U+2581 that the text itself holds is encoded as its bytes, so that decoding gives
/// the text back; SentencePiece turns it into a blank.
class tokenizer {
 public:
  /// Throws `error::bad_file` naming the key for vocabularies of another kind or broken ones.
  explicit tokenizer(const gguf_file& file);

  std::size_t vocab_size() const { return pieces_.size(); }

  /// The tokens that open and end a text. Where the file does not say, 1 and 2 if these are
  /// control tokens, else none.
  std::optional<token_id> bos() const { return bos_; }
  std::optional<token_id> eos() const { return eos_; }
  /// The token for bytes that have none of their own.
  std::optional<token_id> unknown() const { return unknown_; }

  /// Whether the model expects BOS before and EOS after a text, and has them.
  bool adds_bos() const { return adds_bos_ && bos_.has_value(); }
  bool adds_eos() const { return adds_eos_ && eos_.has_value(); }
  /// True for the tokens that end a text or a turn: EOS, what the file calls the end of a turn or
  /// of a message (`eot_token_id`, `eom_token_id`), and control tokens that chat models end with,
  /// by their names, such as <|im_end|>. O(log of how many there are).
  bool ends_text(token_id id) const { return std::binary_search(ends_.begin(), ends_.end(), id); }
  /// Those tokens, rising.
  std::span<const token_id> ends() const { return ends_; }
  /// Whether the model expects a text to be encoded as if a blank preceded it.
  bool adds_space_prefix() const { return adds_space_prefix_; }

  /// The tokens of `text`, any bytes at all, with what `marks` say. Empty text gives no tokens but
  /// BOS and EOS. Bytes that are not UTF-8 become byte tokens. O(n log n) for n bytes, whatever the
  /// vocabulary; at most 12 bytes of memory for each byte of the text, the tokens included, and
  /// mostly 4. Throws `error::bad_input` for a BOS or EOS that is to be put there and that the
  /// vocabulary lacks, for text of 2³¹ bytes or more, and for bytes with neither a token of their
  /// own nor an unknown token to stand for them.
  std::vector<token_id> encode(std::string_view text, text_marks marks) const;
  /// The same with BOS or not, without EOS, and with the blank that the file says.
  std::vector<token_id> encode(std::string_view text, bool add_bos) const {
    return encode(text, {add_bos ? mark::on : mark::off, mark::off});
  }

  /// The bytes that `tokens` stand for, without the blank that `encode` puts before a text.
  /// Control tokens stand for nothing, unknown ones for U+FFFD. Throws `error::bad_input` for ids
  /// outside the vocabulary.
  std::string decode(std::span<const token_id> tokens) const;

  /// What a token stands for, or how a control or unknown token is spelled; a byte token gives its
  /// byte. Lives as long as the tokenizer. Throws `error::bad_input` for ids outside the
  /// vocabulary.
  std::string_view piece(token_id id) const {
    require_in_vocabulary(std::span(&id, 1));
    return pieces_.text(id);
  }

  token_kind kind(token_id id) const {
    require_in_vocabulary(std::span(&id, 1));
    return pieces_.kind(id);
  }

  bool is_control(token_id id) const { return kind(id) == token_kind::control; }

  /// Bytes of the longest piece.
  std::size_t longest_piece() const { return pieces_.longest(); }

  /// Throws `error::bad_input` naming the first id that is negative or not below `vocab_size()`.
  void require_in_vocabulary(std::span<const token_id> ids) const {
    weir::require_in_vocabulary(ids, vocab_size());
  }

  /// What `id`, in the vocabulary, adds to a text. `at_start` says whether no token before it could
  /// add any, and is updated.
  std::string_view text_in_stream(token_id id, bool& at_start) const;

 private:
  static constexpr std::size_t max_text_bytes = std::size_t{1} << 31;

  static void require_llama(const gguf_file& file);

  /// The id that `key`, which is there, gives; none if it gives −1.
  std::optional<token_id> named(const gguf_file& file, std::string_view key) const;

  std::optional<token_id> special(const gguf_file& file, std::string_view key,
                                  std::uint32_t otherwise, token_kind expected) const;

  /// The ids of ends_text.
  std::vector<token_id> find_ends(const gguf_file& file) const;

  /// One code point, or a stretch of bytes that is none, without a piece: its bytes, or one
  /// unknown. `offset` is the user's.
  void fall_back(std::string_view part, std::size_t offset, std::vector<token_id>& tokens) const;

  vocabulary pieces_;
  detail::piece_joins joins_;
  bool adds_space_prefix_;
  bool adds_bos_;
  bool adds_eos_;
  std::optional<token_id> bos_;
  std::optional<token_id> eos_;
  std::optional<token_id> unknown_;
  std::vector<token_id> ends_;  // rising
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/tokenizer.inl.hpp>
#endif
