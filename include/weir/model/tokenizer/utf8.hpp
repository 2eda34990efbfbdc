// UTF-8, one sequence at a time: well-formed, cut short, or broken.
#pragma once

#include <cstddef>
#include <string_view>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::utf8 {

/// U+FFFD, which stands for bytes that are not text.
inline constexpr std::string_view replacement = "\xEF\xBF\xBD";

enum class status {
  whole,    ///< a well-formed sequence
  cut,      ///< the text ends inside what may become a well-formed sequence
  invalid,  ///< bytes that no continuation can complete
};

struct sequence {
  status kind;
  std::size_t length;  ///< bytes, 1 … 4
};

/// The sequence that a non-empty `text` starts with. An invalid one spans the longest prefix of a
/// well-formed sequence (at least one byte), the unit that Unicode replaces by one U+FFFD.
/// Overlong forms, surrogates and values above U+10FFFF are invalid. O(1).
constexpr sequence first_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {status::whole, 1};
  if (lead < 0xC2 || lead > 0xF4) return {status::invalid, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Only the second byte has a range that depends on the first.
  unsigned low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {status::cut, i};
    if (byte(i) < low || byte(i) > high) return {status::invalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {status::whole, length};
}

/// Whether all of `text` is well-formed. O(size).
constexpr bool is_valid(std::string_view text) {
  while (!text.empty()) {
    const sequence s = first_sequence(text);
    if (s.kind != status::whole) return false;
    text.remove_prefix(s.length);
  }
  return true;
}

}  // namespace weir::inline WEIR_TARGET::utf8
