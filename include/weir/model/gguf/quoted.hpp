// Text from a file, made fit for one line of a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/tokenizer/utf8.hpp>

namespace weir::inline WEIR_TARGET {

/// Stands in messages as `text` between quotes, on one line, cut after some 60 bytes; bytes that
/// print nothing show as `\xHH`. For messages about files that anyone may have written.
struct quoted {
  std::string_view text;

  void append_to(std::string& out) const {
    constexpr std::size_t most = 60;
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string_view rest = text;
    out += '\'';
    while (!rest.empty() && text.size() - rest.size() < most) {
      const utf8::sequence s = utf8::first_sequence(rest);
      const auto byte = static_cast<unsigned char>(rest.front());
      const bool prints = s.kind == utf8::status::whole && byte >= 0x20 && byte != 0x7F;
      if (prints)
        out += rest.substr(0, s.length);
      else
        (out += "\\x") += {digits[byte / 16], digits[byte % 16]};
      rest.remove_prefix(prints ? s.length : 1);
    }
    out += rest.empty() ? "'" : "...'";
  }
};

}  // namespace weir::inline WEIR_TARGET
