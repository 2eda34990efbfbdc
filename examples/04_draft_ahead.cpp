// Streams text and drafts how it goes on: several tokens a pass, the same tokens as without.
//
//   04_draft_ahead model.gguf "It was a dark night" [tokens]
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
  std::size_t tokens = 300;
  if (argc < 3 || argc > 4 || (argc == 4 && !read(argv[3], tokens))) {
    std::cerr << "usage: 04_draft_ahead model.gguf prompt [tokens]\n";
    return 2;
  }
  using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                               weir::positions::within_cache>;
  const auto model = weir::load_model(argv[1]);
  const weir::keep list{weir::sinks{4}, weir::window{252}};

  // What followed the last time is drafted to follow again.
  weir::stream_decoder<cache, weir::speculate<weir::prompt_lookup>> decoder{model, list};

  for (std::string_view piece : decoder.generate(argv[2], {.max_tokens = tokens}))
    if (!(std::cout << piece << std::flush)) throw std::runtime_error("cannot write the text");
  const weir::speculation_counters& c = decoder.counters();
  std::cout << "\n"
            << c.rounds << " passes, " << c.proposed << " drafts, " << c.accepted << " right\n";
} catch (const std::exception& e) {
  std::cerr << "04_draft_ahead: " << e.what() << '\n';
  return 1;
}
