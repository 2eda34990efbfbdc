// Bodies of model/tokenizer/piece_joins.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/utf8.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>
#include <weir/model/tokenizer/word_automaton.hpp>

namespace weir::inline WEIR_TARGET::detail {

WEIR_INLINE piece_joins::piece_joins(const vocabulary& pieces) {
  // Every symbol is a word: first all pieces that can form, then characters that are none.
  std::vector<std::string_view> words;
  std::vector<std::uint32_t> symbols;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto id = static_cast<token_id>(i);
    const std::string_view text = pieces.text(id);
    if (pieces.kind(id) != token_kind::normal || pieces.find(text) != id) continue;
    words.push_back(text);
    symbols.push_back(static_cast<std::uint32_t>(i));
    if (utf8::first_sequence(text).length == text.size())
      characters_.insert(packed(text), 0, symbols.back());
  }
  const std::size_t count = words.size();
  for (std::size_t w = 0; w < count; ++w)
    for (std::string_view rest = words[w]; !rest.empty();) {
      const std::string_view character = rest.substr(0, utf8::first_sequence(rest).length);
      if (symbol_of(character) == none) {
        const std::size_t beyond = pieces.size() + words.size() - count;
        words.push_back(character);
        symbols.push_back(static_cast<std::uint32_t>(beyond));
        characters_.insert(packed(character), 0, symbols.back());
      }
      rest.remove_prefix(character.size());
    }

  const word_automaton automaton(words);
  std::vector<std::uint32_t> behind;  // [byte of a piece] the symbol that the rest from there is
  std::uint64_t steps = 0;
  for (std::size_t w = 0; w < count; ++w) {
    const std::string_view word = words[w];
    behind.assign(word.size(), none);
    auto state = word_automaton::at_end;
    for (std::size_t i = word.size(); i-- > 0;) {
      state = automaton.read(state, static_cast<unsigned char>(word[i]), steps);
      const std::uint32_t rest = automaton.longest(state);
      if (rest != word_automaton::none && words[rest].size() == word.size() - i)
        behind[i] = symbols[rest];
    }
    for (std::uint32_t left = automaton.shorter(static_cast<std::uint32_t>(w));
         left != word_automaton::none; left = automaton.shorter(left))
      if (const std::uint32_t right = behind[words[left].size()]; right != none)
        joined_.assign(symbols[left], right, symbols[w]);
    std::uint32_t before = none;
    for (std::string_view rest = word; !rest.empty();) {
      const std::string_view character = rest.substr(0, utf8::first_sequence(rest).length);
      const std::uint32_t symbol = symbol_of(character);
      if (before != none) joined_.insert(before, symbol, apart);
      before = symbol;
      rest.remove_prefix(character.size());
    }
  }
}

}  // namespace weir::inline WEIR_TARGET::detail
