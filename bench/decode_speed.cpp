// How fast a stream goes on: seconds a token, the median over blocks of tokens.
//
//   decode_speed MODEL [BLOCKS] [TOKENS OF A BLOCK]
//
// Streams behind 4 sinks and a window of 508 within the cache, in f16, from token 64 on. Built
// twice, as decode_speed with the kernels of weir::compiled and as decode_speed_native with kernels
// of its own: bench/one_program.sh compares both.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <weir/kernels/instruction_set.hpp>
#include <weir/weir.hpp>

int main(int argc, char** argv) try {
  using namespace weir;
  if (argc < 2)
    return std::fputs("usage: decode_speed MODEL [BLOCKS] [TOKENS OF A BLOCK]\n", stderr), 2;
  const auto number = [&](int i, std::size_t usual) {
    return argc > i ? std::strtoul(argv[i], nullptr, 10) : usual;
  };
  const std::size_t blocks = number(2, 20), tokens = number(3, 8);
  const llama_model model = load_model(argv[1]);
  stream_decoder<kv_cache<f16, keep<sinks, window>, positions::within_cache>> stream{
      model, {sinks{4}, window{508}}};
  const auto on = [](const token_event&) { return true; };
  stream.generate("It was a dark night", on, {.max_tokens = 64});
  std::vector<double> seconds;
  for (std::size_t block = 0; block < blocks; ++block) {
    const auto start = std::chrono::steady_clock::now();
    stream.resume(on, {.max_tokens = tokens});
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    seconds.push_back(passed.count() / static_cast<double>(tokens));
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(blocks / 2),
                   seconds.end());
  std::printf("%.9f %s\n", seconds[blocks / 2], std::string(instruction_set()).c_str());
} catch (const std::exception& e) {
  return std::fprintf(stderr, "decode_speed: %s\n", e.what()), 1;
}
