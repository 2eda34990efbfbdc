// Rates a text: how surprising is each token, given those before it that the cache kept?
//
//   perplexity --model model.gguf --text text.txt [--policy sinks-window --sinks 4 --window 252]
//
// Prints one JSON object. Exit status: 0 printed, 1 an input was refused, 2 wrong usage.
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/flags.hpp"
#include "support/session.hpp"

namespace {

struct settings {
  std::string model, text, logprobs;
  bool repack = false;
  std::size_t max_tokens = 0;  // 0: the whole text
  weir::text_marks marks;
  tool::cache_choice cache;
  weir::stream_options work;
};

/// The shortest decimal that reads back as `x`; JSON knows no infinity.
std::string json_number(double x) {
  if (!std::isfinite(x)) return "null";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

void perplexity(settings s) {
  using weir::error::bad_input, weir::error::require;
  std::optional<tool::output_file> logprobs;
  if (!s.logprobs.empty()) logprobs.emplace(s.logprobs);
  const weir::llama_model model = weir::load_model(s.model, {.repack = s.repack});
  std::vector<weir::token_id> tokens = model.tokenizer.encode(tool::read_bytes(s.text), s.marks);
  require<bad_input>(tokens.size() > 1, s.text, ": is empty (expected a text)");
  if (s.max_tokens > 0 && s.max_tokens < tokens.size() - 1) tokens.resize(s.max_tokens + 1);
  const std::size_t n = tokens.size() - 1;
  s.cache.rows = tool::require_context(s.cache, n, model);
  const auto scorer = tool::make_scorer(model, s.cache, s.work);

  double nats = 0;
  std::string lines;
  const auto start = std::chrono::steady_clock::now();
  scorer->score(tokens, [&](double log_probability) {
    nats -= log_probability;
    if (!logprobs) return;
    char line[32];
    lines.append(line, static_cast<std::size_t>(
                           std::snprintf(line, sizeof line, "%.9g\n", log_probability)));
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (logprobs) logprobs->write(lines);

  const double mean = nats / static_cast<double>(n);
  std::cout << "{\"tokens\": " << n << ", \"nats_per_token\": " << json_number(mean)
            << ", \"perplexity\": " << json_number(std::exp(mean))
            << ", \"seconds\": " << json_number(seconds.count())
            << ", \"peak_cache_bytes\": " << scorer->cache_bytes()
            << ", \"cut_numbers\": " << scorer->cut_numbers() << "}\n"
            << std::flush;
  require<bad_input>(bool{std::cout}, "standard output: cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  tool::command_line line("perplexity", "Rates a text token by token and prints one JSON object.");
  line.file("--model", s.model, "GGUF file")->required();
  line.on_off("--repack", s.repack, tool::repack_help);
  line.file("--text", s.text, "text file, or - for standard input, taken byte by byte")->required();
  line.marks(s.marks);
  line.number<std::size_t>("--max-tokens", s.max_tokens, "tokens to rate, at most", 1)
      ->default_str("the whole text");
  line.file("--logprobs", s.logprobs, "also write one natural-log probability a line to this file");
  tool::add_cache_flags(line, s.cache, s.work);
  tool::add_work_flags(line, s.work);
  return line.run(argc, argv, [&] { perplexity(s); });
}
