// Streams text from a model at a held level of memory: for ever, or as many tokens as asked for.
//
//   01_stream model.gguf "It was a dark night" [tokens]
#include <charconv>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <weir/weir.hpp>

/// Reads a whole number that is all of `text`.
bool read(std::string_view text, std::size_t& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size();
}

int main(int argc, char** argv) try {
  std::size_t tokens = 0;  // for ever
  if (argc < 3 || argc > 4 || (argc == 4 && !read(argv[3], tokens))) {
    std::cerr << "usage: 01_stream model.gguf prompt [tokens]\n";
    return 2;
  }
  // Keys and values in half precision; the first 4 tokens and the last 252 stay and are numbered
  // 0 ... 255, so the stream may outrun the context that the model was trained on.
  using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                               weir::positions::within_cache>;
  const auto model = weir::load_model(argv[1]);
  weir::stream_decoder<cache> decoder{model, {weir::sinks{4}, weir::window{252}}};

  for (std::string_view piece : decoder.generate(argv[2], {.max_tokens = tokens}))
    if (!(std::cout << piece << std::flush)) throw std::runtime_error("cannot write the text");
  std::cout << '\n';
} catch (const std::exception& e) {
  std::cerr << "01_stream: " << e.what() << '\n';
  return 1;
}
