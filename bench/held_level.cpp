// Does a stream that has run for a million tokens cost what a young one costs?
//
//   held_level MODEL [TOKENS]
//
// Streams TOKENS (default 1,000,000) through 4 sinks and a window of 252 within the cache. Then
// that stream and one warmed to 10,000 tokens advance in alternating blocks of 500, and the median
// of their time ratios is printed, with bytes counted and resident memory at 10,000 and at the end.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include <unistd.h>
#include <weir/weir.hpp>

namespace {

using namespace weir;
using decoder_type = stream_decoder<kv_cache<f16, keep<sinks, window>, positions::within_cache>>;

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Seconds that `tokens` more tokens take.
double advance(decoder_type& decoder, std::size_t tokens) {
  const auto start = std::chrono::steady_clock::now();
  decoder.resume([](const token_event&) { return true; }, {.max_tokens = tokens});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::fputs("usage: held_level MODEL [TOKENS]\n", stderr), 2;
  const std::size_t tokens = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  constexpr std::size_t warm = 10'000, block = 500, blocks = 101;
  const llama_model model = load_model(argv[1]);
  const decoder_options options{.seed = 1, .stream = {.threads = 1}};
  decoder_type old_stream(model, {sinks{4}, window{252}}, options);
  decoder_type young_stream(model, {sinks{4}, window{252}}, options);
  old_stream.generate("", [](const token_event&) { return false; });
  young_stream.generate("", [](const token_event&) { return false; });

  advance(young_stream, warm);
  advance(old_stream, warm);
  const std::size_t bytes = old_stream.bytes(), resident = resident_bytes();
  const double seconds = advance(old_stream, tokens - warm);
  const std::size_t bytes_after = old_stream.bytes(), resident_after = resident_bytes();

  std::vector<double> ratios;
  for (std::size_t i = 0; i < blocks; ++i) {  // who goes first alternates too
    double old_time = 0, young_time = 0;
    if (i % 2 == 0) old_time = advance(old_stream, block);
    young_time = advance(young_stream, block);
    if (i % 2 == 1) old_time = advance(old_stream, block);
    ratios.push_back(old_time / young_time);
  }
  std::nth_element(ratios.begin(), ratios.begin() + blocks / 2, ratios.end());
  std::printf(
      "{\"tokens\": %zu, \"seconds\": %.1f, \"tokens_per_second\": %.0f, "
      "\"bytes_at_10000\": %zu, \"bytes_at_end\": %zu, "
      "\"resident_at_10000\": %zu, \"resident_growth\": %lld, "
      "\"median_time_ratio\": %.4f}\n",
      tokens, seconds, static_cast<double>(tokens - warm) / seconds, bytes, bytes_after, resident,
      static_cast<long long>(resident_after) - static_cast<long long>(resident),
      ratios[blocks / 2]);
} catch (const std::exception& e) {
  std::fprintf(stderr, "held_level: %s\n", e.what());
  return 1;
}
