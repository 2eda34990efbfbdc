// Streams text from a model, for ever if asked to, at a held level of memory.
//
//   stream --model model.gguf --prompt "It was a dark night" --tokens 300
//   cat prompt.txt | stream --model model.gguf --prompt - --escape --stop '\n\n'
//
// Only generated text (or ids) goes to stdout. Exit status: 0 done or interrupted, 1 an input was
// refused, 2 wrong usage.
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/flags.hpp"
#include "support/interrupt.hpp"
#include "support/prompt.hpp"
#include "support/session.hpp"
#include "support/status.hpp"

namespace {

struct settings {
  std::string model;
  tool::prompt_choice prompt;
  bool repack = false;
  std::size_t tokens = 300;
  bool ids = false, status = false, quiet = false;
  tool::cache_choice cache;
  weir::decoder_options decoder;
};

const char* name_of(weir::finish_reason why) {
  switch (why) {
    case weir::finish_reason::max_tokens:
      return "done";
    case weir::finish_reason::eos:
      return "end of text";
    case weir::finish_reason::stop_string:
      return "stop string";
    case weir::finish_reason::cancelled:
      return "interrupted";
    default:
      return "reader gone";
  }
}

void stream(settings s, std::string_view text, const std::stop_token& interrupted) {
  const weir::llama_model model = weir::load_model(s.model, {.repack = s.repack});
  const std::vector<weir::token_id> prompt = model.tokenizer.encode(text, s.decoder.marks);
  // The last token generated does not go through the model.
  s.cache.rows = tool::require_context(
      s.cache, s.tokens == 0 ? tool::no_end : prompt.size() + s.tokens - 1, model);
  const auto generator = tool::make_generator(model, s.cache, s.decoder);

  using when = tool::status_line::when;
  tool::status_line status(*generator, s.cache,
                           s.quiet    ? when::never
                           : s.status ? when::always
                                      : when::on_terminal);
  bool mid_line = false;
  const auto show = [&](const weir::token_event& e) {
    errno = 0;
    if (s.ids)
      std::cout << e.id << '\n' << std::flush;
    else if (!e.text.empty())
      std::cout << e.text << std::flush;
    if (!std::cout)  // a reader that went away has had enough
      weir::error::require<weir::error::bad_input>(errno == EPIPE,
                                                   "standard output: cannot be written");
    if (!e.text.empty()) mid_line = !s.ids && e.text.back() != '\n';
    status.count();
    return bool{std::cout};
  };
  const weir::finish_reason why = generator->generate(prompt, show, {s.tokens, interrupted});
  if (!s.ids && why == weir::finish_reason::cancelled)
    std::cout << generator->held_text() << std::flush;
  status.finish(name_of(why), mid_line);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  settings s;
  weir::sampling& sample = s.decoder.sample;
  tool::command_line line("stream", "Streams text from a model.");
  line.file("--model", s.model, "GGUF file")->required();
  line.on_off("--repack", s.repack, tool::repack_help);
  tool::add_prompt_flags(line, s.prompt, &s.decoder.stop);
  line.marks(s.decoder.marks);
  line.number<std::size_t>("--tokens", s.tokens, "tokens to generate; 0: for ever", 0,
                           std::size_t{1} << 62);
  line.number<float>("--temperature", sample.temperature, "0: always the most probable token", 0);
  line.number<std::size_t>("--top-k", sample.top_k, "choose among so many; 0: all", 0);
  line.number<float>("--top-p", sample.top_p, "choose among those that reach this probability", 0,
                     1);
  line.number<float>("--min-p", sample.min_p, "leave out those less likely than this x the best", 0,
                     1);
  line.number<std::uint64_t>("--seed", s.decoder.seed, "of the randomness", 0);
  tool::add_cache_flags(line, s.cache, s.decoder.stream);
  tool::add_work_flags(line, s.decoder.stream);
  line.on_off("--ids", s.ids, "print token ids, one a line, instead of text");
  line.on_off("--stop-at-eos", s.decoder.stop_at_eos,
              "stop where the model ends the text or a turn");
  line.numbers("--end-token", s.decoder.end_tokens, "stop at this token; may be given again");
  line.texts("--stop", s.decoder.stop, "stop before this text; may be given again and again");
  auto* status =
      line.on_off("--status", s.status, "show the status line even where stderr is no terminal");
  line.on_off("--quiet", s.quiet, "print nothing but the result")->excludes(status);
  return line.run(argc, argv, [&] {
    const std::string text = tool::read_prompt(s.prompt);  // may wait, and be interrupted
    if (s.prompt.escape)
      for (std::string& stop : s.decoder.stop) stop = tool::unescaped("--stop", stop);
    stream(std::move(s), text, tool::stop_on_interrupt());
  });
}
