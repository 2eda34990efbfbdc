// StreamingLLM in shape (arXiv 2309.17453, table 1 and figure 10): a window without sinks, sinks
// and a window, and filling the window anew for every token, at the same number of entries.
//
//   streaming_llm MODEL TEXT [TOKENS [SAMPLES]]
//
// Prints a Markdown table: nats per token over the first TOKENS (default 100,000) of the text, the
// same on the SAMPLES (default 400) tokens for which re-prefilling was run, spread evenly over the
// text, and the time per token when decoding one token at a time.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <weir/weir.hpp>
#include "support/timing.hpp"

namespace {

using namespace weir;
using weir_bench::median;
using weir_bench::seconds_of;
constexpr std::size_t entries = 256;

/// Log-probability of every token but the first, given those before it.
template <class Cache>
std::vector<double> score(const llama_model& model, keep_of<Cache> keep,
                          std::span<const token_id> tokens) {
  token_stream<Cache> stream(model, keep, {.chunk = 32});
  const std::size_t words = model.config.vocab_size;
  std::vector<float> logits(32 * words);
  std::vector<double> out;
  stream.feed(tokens.first(tokens.size() - 1), [&](std::size_t first, std::size_t rows) {
    stream.row_logits(0, rows, logits.data());
    for (std::size_t r = 0; r < rows; ++r)
      out.push_back(
          log_probability(std::span(logits).subspan(r * words, words), tokens[first + r + 1]));
  });
  return out;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3)
    return std::fputs("usage: streaming_llm MODEL TEXT [TOKENS [SAMPLES]]\n", stderr), 2;
  const std::size_t n = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100'000;
  const std::size_t samples = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 400;
  const llama_model model = load_model(argv[1]);
  std::ifstream file(argv[2], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<token_id> tokens = model.tokenizer.encode(text, true);
  if (tokens.size() < n + 1) return std::fputs("streaming_llm: the text is too short\n", stderr), 1;
  tokens.resize(n + 1);

  using plain_cache = kv_cache<f16, keep<window>, positions::within_cache>;
  using sink_cache = kv_cache<f16, keep<sinks, window>, positions::within_cache>;
  using full_cache = kv_cache<f16, keep_all>;
  const keep<window> plain{window{entries}};
  const keep<sinks, window> with_sinks{sinks{4}, window{entries - 4}};
  const std::vector<double> window_scores = score<plain_cache>(model, plain, tokens);
  const std::vector<double> sink_scores = score<sink_cache>(model, with_sinks, tokens);

  // One token at a time, interleaved with re-prefilling the same window, median of each. Timing
  // streams have run full before.
  token_stream<plain_cache> window_stream(model, plain);
  token_stream<sink_cache> sink_stream(model, with_sinks);
  token_stream<full_cache> refilled(model, {entries});
  window_stream.feed(std::span(tokens).first(4 * entries));
  sink_stream.feed(std::span(tokens).first(4 * entries));
  std::vector<double> window_time, sink_time, refill_time;
  double window_sum = 0, sink_sum = 0, refill_sum = 0;
  for (std::size_t s = 0; s < samples; ++s) {
    const std::size_t at = entries + (n - entries) * s / samples;  // the token to be predicted
    const std::span<const token_id> one = std::span(tokens).subspan(at - 1, 1);
    window_time.push_back(seconds_of([&] { window_stream.feed(one), window_stream.logits(); }));
    sink_time.push_back(seconds_of([&] { sink_stream.feed(one), sink_stream.logits(); }));
    refill_time.push_back(seconds_of([&] {
      refilled.reset();
      refilled.feed(std::span(tokens).subspan(at - entries, entries));
      refilled.logits();
    }));
    window_sum -= window_scores[at - 1];
    sink_sum -= sink_scores[at - 1];
    refill_sum -= log_probability(refilled.logits(), tokens[at]);
  }
  const auto mean = [](const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum -= v;
    return sum / static_cast<double>(x.size());
  };
  const auto count = static_cast<double>(samples);
  const double w = median(window_time), k = median(sink_time), r = median(refill_time);
  std::printf(
      "| %zu entries | nats per token, %zu tokens | on the %zu sampled | µs per token | "
      "speed against re-prefill |\n|---|---|---|---|---|\n",
      entries, n, samples);
  std::printf("| window, no sinks | %.4f | %.4f | %.0f | %.1f× |\n", mean(window_scores),
              window_sum / count, w * 1e6, r / w);
  std::printf("| 4 sinks + window | %.4f | %.4f | %.0f | %.1f× |\n", mean(sink_scores),
              sink_sum / count, k * 1e6, r / k);
  std::printf("| window re-prefilled for every token | – | %.4f | %.0f | 1× |\n",
              refill_sum / count, r * 1e6);
} catch (const std::exception& e) {
  std::fprintf(stderr, "streaming_llm: %s\n", e.what());
  return 1;
}
