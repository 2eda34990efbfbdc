// Prints the token ids of a text on one line.
//
//   tokenize --model model.gguf --text prompt.txt [--bos file|on|off] [--eos file|on|off]
//   [--no-special]
//
// Exit status: 0 printed, 1 an input was refused, 2 wrong usage.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <weir/core/error.hpp>
#include <weir/model/gguf.hpp>
#include <weir/model/tokenizer.hpp>

#include "support/flags.hpp"

namespace {

/// The file's bytes, unchanged.
std::string read_bytes(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path))
    weir::error::raise<weir::error::bad_input>(path.string(), ": is a directory; expected a text");
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  weir::error::require<weir::error::bad_input>(file.good() || file.eof(), path.string(),
                                               ": cannot be read");
  return bytes;
}

void tokenize(const std::filesystem::path& model, const std::filesystem::path& text,
              weir::text_marks marks) {
  const weir::tokenizer tokenizer{weir::gguf_file(model)};
  const char* separator = "";
  for (const weir::token_id id : tokenizer.encode(read_bytes(text), marks)) {
    std::cout << separator << id;
    separator = " ";
  }
  std::cout << '\n' << std::flush;
  weir::error::require<weir::error::bad_input>(bool{std::cout},
                                               "standard output: cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  tool::command_line line("tokenize",
                          "Prints the token ids of a text on one line, separated by blanks.");
  std::string model, text;
  bool no_special = false;
  weir::text_marks marks;
  line.file("--model", model, "GGUF file; one with a vocabulary alone will do")->required();
  line.file("--text", text, "text file, taken byte by byte")->required();
  auto* bos =
      line.mark("--bos", marks.bos, "put BOS before the text: as the file says, or on or off");
  auto* eos =
      line.mark("--eos", marks.eos, "put EOS behind the text: as the file says, or on or off");
  line.on_off("--no-special", no_special, "the same as --bos off --eos off")
      ->excludes(bos)
      ->excludes(eos);
  return line.run(argc, argv, [&] {
    if (no_special) marks = {weir::mark::off, weir::mark::off};
    tokenize(model, text, marks);
  });
}
