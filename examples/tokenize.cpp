// Prints the token ids of a text on one line.
//
//   tokenize --model model.gguf --text prompt.txt [--bos file|on|off] [--eos file|on|off]
//   [--no-special] [--no-prefix-blank]
//
// Exit status: 0 printed, 1 an input was refused, 2 wrong usage.
#include <iostream>
#include <string>

#include <weir/core/error.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

#include "support/files.hpp"
#include "support/flags.hpp"

namespace {

void tokenize(const std::string& model, const std::string& text, weir::text_marks marks) {
  const weir::tokenizer tokenizer{weir::gguf_file(model)};
  const char* separator = "";
  for (const weir::token_id id : tokenizer.encode(tool::read_bytes(text), marks)) {
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
  line.file("--text", text, "text file, or - for standard input, taken byte by byte")->required();
  auto* bos =
      line.mark("--bos", marks.bos, "put BOS before the text: as the file says, or on or off");
  auto* eos =
      line.mark("--eos", marks.eos, "put EOS behind the text: as the file says, or on or off");
  line.on_off("--no-special", no_special, "the same as --bos off --eos off")
      ->excludes(bos)
      ->excludes(eos);
  line.no_prefix_blank(marks);
  return line.run(argc, argv, [&] {
    if (no_special) marks.bos = marks.eos = weir::mark::off;
    tokenize(model, text, marks);
  });
}
