// The text that a tool goes on from: given on the command line, in a file, or through a pipe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/core/error.hpp>
#include <weir/model/gguf/quoted.hpp>

#include "files.hpp"
#include "flags.hpp"

namespace tool {

struct prompt_choice {
  std::string text;  ///< "-": what standard input holds
  std::string file;  ///< read instead, if it was given
  bool has_file = false;
  bool escape = false;
};

/// `text` with \n, \t, \\ and \xHH as what they stand for. Throws error::bad_input for others,
/// naming `flag` and the place.
inline std::string unescaped(std::string_view flag, std::string_view text) {
  const auto digit = [&](std::size_t i) {
    const std::string_view digits = "0123456789abcdef";
    const char c = i < text.size() ? text[i] : ' ';
    return digits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
  };
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    const std::size_t at = i++;
    const char kind = i < text.size() ? text[i] : '\0';
    const bool is_byte = kind == 'x' && digit(i + 1) < 16 && digit(i + 2) < 16;
    weir::error::require<weir::error::bad_input>(
        kind == 'n' || kind == 't' || kind == '\\' || is_byte, flag, ": ",
        weir::quoted{text.substr(at, 2)}, " at byte ", at,
        " is no escape (expected \\n, \\t, \\\\ or \\x and two hexadecimal digits)");
    bytes += kind == 'n'    ? '\n'
             : kind == 't'  ? '\t'
             : kind == '\\' ? '\\'
                            : static_cast<char>(16 * digit(i + 1) + digit(i + 2));
    if (is_byte) i += 2;
  }
  return bytes;
}

/// The flags that choose a prompt. `stop`: strings that --escape is for too, or null.
inline void add_prompt_flags(command_line& line, prompt_choice& p,
                             const std::vector<std::string>* stop) {
  auto* text = line.text("--prompt", p.text, "text to go on from; -: what standard input holds");
  auto* file = line.file("--prompt-file", p.file, "go on from what this file holds, byte by byte");
  file->excludes(text);
  auto* escape = line.on_off(
      "--escape", p.escape,
      stop != nullptr ? "take \\n, \\t, \\\\ and \\xHH in --prompt and --stop for what they say"
                      : "take \\n, \\t, \\\\ and \\xHH in --prompt for what they say");
  line.check([&p, escape, file, text, stop] {
    p.has_file = file->count() > 0;
    const bool is_read =
        (text->count() > 0 && p.text != "-") || (stop != nullptr && !stop->empty());
    if (escape->count() > 0 && !is_read)
      throw CLI::ValidationError("--escape", stop != nullptr ? "without --prompt TEXT or --stop"
                                                             : "without --prompt TEXT");
  });
}

/// The prompt's bytes. Throws error::bad_input.
inline std::string read_prompt(const prompt_choice& p) {
  if (p.has_file) return read_bytes(p.file);
  if (p.text == "-") return read_bytes(p.text);
  return p.escape ? unescaped("--prompt", p.text) : p.text;
}

}  // namespace tool
