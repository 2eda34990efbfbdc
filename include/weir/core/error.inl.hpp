// Bodies of core/error.hpp.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <string>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::error::detail {

// Not by std::to_string, whose table the objects for all instruction sets would share.

WEIR_INLINE void append(std::string& text, long long number) {
  char digits[32];
  text.append(digits,
              static_cast<std::size_t>(std::snprintf(digits, sizeof(digits), "%lld", number)));
}

WEIR_INLINE void append(std::string& text, unsigned long long number) {
  char digits[32];
  text.append(digits,
              static_cast<std::size_t>(std::snprintf(digits, sizeof(digits), "%llu", number)));
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
