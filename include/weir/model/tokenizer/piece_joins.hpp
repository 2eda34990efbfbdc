// Which neighbours join, and into what: a vocabulary's pieces as pairs of numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/tokenizer/pair_index.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// While a text is encoded, its parts are symbols: numbers of tokens, and, beyond these, of
/// characters that pieces are made of without being pieces themselves. Every way to cut a piece
/// into two symbols is known beforehand, so that what two neighbours become is one look-up, however
/// long they are. Memory: at most 120 bytes for each byte of the pieces, a few where they are
/// words.
class piece_joins {
 public:
  static constexpr std::uint32_t none = pair_index::none;

  /// O(b log p) for b bytes in p pieces.
  explicit piece_joins(const vocabulary& pieces);

  /// The symbol of one UTF-8 sequence, well-formed or not; none where no piece holds it. O(1).
  std::uint32_t symbol_of(std::string_view character) const {
    return characters_.find(packed(character), 0);
  }

  /// The token that two neighbours join into; `apart` if there is none, but some piece holds the
  /// two, which are characters then, side by side; otherwise none. O(1).
  std::uint32_t joined(std::uint32_t left, std::uint32_t right) const {
    return joined_.find(left, right);
  }
  static constexpr std::uint32_t apart = none - 1;

 private:
  /// No two sequences, well-formed or not, are packed alike: of those with the same lead byte, the
  /// shorter ones have a 0 where others have a byte above 0x7F.
  static std::uint32_t packed(std::string_view character) {
    std::uint32_t all = 0;
    for (std::size_t i = 0; i < character.size(); ++i)
      all |= std::uint32_t{static_cast<unsigned char>(character[i])} << 8 * i;
    return all;
  }

  pair_index characters_;  // (packed, 0) to symbol
  pair_index joined_;      // (left, right) to token or `apart`
};

}  // namespace weir::inline WEIR_TARGET::detail

#if !WEIR_DECLARED_ONLY
#include <weir/model/tokenizer/piece_joins.inl.hpp>
#endif
