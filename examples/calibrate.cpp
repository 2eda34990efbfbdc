// Writes down where a model aims its queries: the calibration that triattention needs, once for
// each model. Any text will do; a few thousand tokens of it.
//
//   calibrate --model model.gguf --text text.txt --out centres.bin
//   perplexity --model model.gguf --text text.txt --policy triattention --calibration centres.bin
//
// Exit status: 0 written, 1 an input was refused, 2 wrong usage.
#include <algorithm>
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include <weir/cache/eviction/query_centres.hpp>
#include <weir/weir.hpp>

#include "support/files.hpp"
#include "support/flags.hpp"

namespace {

struct settings {
  std::string model, text, out;
  std::size_t max_tokens = 32768;  // as many as the authors of TriAttention took
  weir::stream_options work;
};

void calibrate(const settings& s) {
  using weir::error::bad_input, weir::error::require;
  const tool::output_file out(s.out);
  const weir::llama_model model = weir::load_model(s.model);
  std::vector<weir::token_id> tokens =
      model.tokenizer.encode(tool::read_bytes(s.text), weir::text_marks{});
  tokens.resize(std::min(tokens.size(), s.max_tokens));
  require<bad_input>(tokens.size() > 1, s.text, ": is empty (expected a text)");

  // Texts may be longer than the model's context: sinks and a window of half of it, renumbered.
  const weir::kv_shape shape = weir::shape_of(model.config);
  const std::size_t window = std::max<std::size_t>(model.config.context_length / 2, 2);
  weir::thread_pool threads(s.work.threads);
  weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>, weir::positions::within_cache>
      cache(shape, {weir::sinks{4}, weir::window{window}},
            {.max_rows = s.work.chunk, .may_take_back = false, .threads = &threads});
  weir::llama_pass pass(model.config, model.weights, s.work.chunk);
  weir::query_centre_sums sums(shape);
  const std::vector<weir::row> rows(s.work.chunk);
  for (std::size_t first = 0; first < tokens.size(); first += s.work.chunk) {
    const std::size_t n = std::min(s.work.chunk, tokens.size() - first);
    const std::size_t q = n * shape.q_heads * shape.head_dim,
                      kv = n * shape.kv_heads * shape.head_dim;
    auto step = cache.begin(std::span(rows).first(n));
    pass.forward(
        std::span(tokens).subspan(first, n),
        [&](std::size_t layer, const float* queries, const float* keys, const float* values,
            float* attended) {
          sums.add(layer, {queries, q});
          step.attend(layer, {queries, q}, {keys, kv}, {values, kv}, {attended, q});
        },
        threads);
    step.commit();
  }
  out.write(sums.centres().bytes());
  std::cout << "{\"tokens\": " << tokens.size() << ", \"layers\": " << shape.layers
            << ", \"query_heads\": " << shape.q_heads << ", \"head_dim\": " << shape.head_dim
            << "}\n"
            << std::flush;
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  tool::command_line line("calibrate", "Writes down where a model aims its queries.");
  line.file("--model", s.model, "GGUF file")->required();
  line.file("--text", s.text,
            "text file, or - for standard input, taken byte by byte; BOS is put before it")
      ->required();
  line.file("--out", s.out, "file to write")->required();
  line.number<std::size_t>("--max-tokens", s.max_tokens, "tokens to look at, at most", 2);
  tool::add_work_flags(line, s.work);
  return line.run(argc, argv, [&] { calibrate(s); });
}
