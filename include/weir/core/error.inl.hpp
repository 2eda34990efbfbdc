// Bodies of core/error.hpp.
#pragma once

#include <charconv>
#include <initializer_list>
#include <string>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::error::detail {

WEIR_INLINE void append(std::string& text, long long number) { text += std::to_string(number); }

WEIR_INLINE void append(std::string& text, unsigned long long number) {
  text += std::to_string(number);
}

WEIR_INLINE void append(std::string& text, double number) {
  char digits[32];
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), number, std::chars_format::general, 6);
  text.append(digits, end.ptr);
}

WEIR_INLINE std::string message_of(std::initializer_list<message_part> parts) {
  std::string message;
  for (const message_part& part : parts) part.append_to(message);
  return message;
}

}  // namespace weir::inline WEIR_TARGET::error::detail
