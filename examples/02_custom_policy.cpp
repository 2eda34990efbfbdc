// An eviction policy of your own beside the library's: sinks, a window, and of what is left the
// tokens with the longest keys.
//
//   02_custom_policy model.gguf "It was a dark night" [tokens]
#include <charconv>
#include <cstddef>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <weir/weir.hpp>

// The policy: at every boundary it ranks the entries of each KV head that nobody has selected yet;
// the largest scores stay. Kernels, chunks, threads and renumbering are not its business.
// [policy]
struct longest_keys {
  std::size_t budget;
  float score(const weir::slots_view& cache, weir::slot s) const { return cache.key_norm(s); }
};
static_assert(weir::eviction_policy<longest_keys>);
// [/policy]

/// Reads a whole number that is all of `text`.
bool read(std::string_view text, std::size_t& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size();
}

int main(int argc, char** argv) try {
  std::size_t tokens = 400;
  if (argc < 3 || argc > 4 || (argc == 4 && !read(argv[3], tokens))) {
    std::cerr << "usage: 02_custom_policy model.gguf prompt [tokens]\n";
    return 2;
  }
  using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window, longest_keys>,
                               weir::positions::within_cache>;
  const auto model = weir::load_model(argv[1]);
  weir::stream_decoder<cache> decoder{model, {weir::sinks{4}, weir::window{92}, longest_keys{64}}};

  for (std::string_view piece : decoder.generate(argv[2], {.max_tokens = tokens}))
    if (!(std::cout << piece << std::flush)) throw std::runtime_error("cannot write the text");

  const weir::cache_stats& did = decoder.cache().stats();
  std::cout << "\n\n"
            << did.appended << " tokens went in; " << did.evicted_entries
            << " entries (one a token, layer and KV head) were evicted, layers having decided "
            << did.boundaries << " times; no row read more than " << decoder.cache().max_entries()
            << ".\n";

  std::cout << "What the first layer's first head kept from before its window:";
  decoder.cache().for_each_entry(0, 0, [&](const weir::cache_entry& e) {
    if (e.index.value + 128 < decoder.length()) std::cout << ' ' << e.index.value;
  });
  std::cout << '\n';
} catch (const std::exception& e) {
  std::cerr << "02_custom_policy: " << e.what() << '\n';
  return 1;
}
