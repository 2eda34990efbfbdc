// Writes a Llama model of random weights as a GGUF file, for this engine and others to be measured
// on. The same arguments give the same file.
//
//   write_synthetic_model PATH TYPE [--width N] [--layers N] [--heads N] [--kv-heads N]
//                         [--inner N] [--words N] [--context N]
//
// TYPE is one of f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k. The default shape has 1.1
// billion weights.
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "support/synthetic_model.hpp"

namespace {

using weir_bench::synthetic_shape;

struct flag {
  std::string_view name;
  std::uint32_t synthetic_shape::*field;
};
constexpr flag flags[] = {
    {"--width", &synthetic_shape::width},     {"--layers", &synthetic_shape::layers},
    {"--heads", &synthetic_shape::heads},     {"--kv-heads", &synthetic_shape::kv_heads},
    {"--inner", &synthetic_shape::inner},     {"--words", &synthetic_shape::words},
    {"--context", &synthetic_shape::context},
};

std::uint32_t& field_of(synthetic_shape& shape, std::string_view name) {
  for (const flag& f : flags)
    if (f.name == name) return shape.*f.field;
  throw std::invalid_argument("no option " + std::string(name));
}

std::uint32_t number(std::string_view text) {
  std::uint32_t n = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failure != std::errc() || end != text.data() + text.size() || n == 0)
    throw std::invalid_argument("'" + std::string(text) + "' (expected a positive number)");
  return n;
}

void require(bool holds, const char* expected) {
  if (!holds) throw std::invalid_argument(expected);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3 || argc % 2 == 0)
    return std::fputs("usage: write_synthetic_model PATH TYPE [--width N] ...\n", stderr), 2;
  const auto type = weir_bench::weight_type_named(argv[2]);
  require(type.has_value(), "TYPE: expected a type of weights, such as q8_0");
  synthetic_shape shape;
  for (int i = 3; i < argc; i += 2) field_of(shape, argv[i]) = number(argv[i + 1]);
  require(shape.width % 256 == 0 && shape.inner % 256 == 0,
          "--width, --inner: expected multiples of 256");
  require(shape.width % shape.heads == 0 && shape.heads % shape.kv_heads == 0,
          "--heads, --kv-heads: expected divisors of the width and of the heads");
  require(shape.words >= 512, "--words: expected at least 512");
  weir_bench::write_synthetic_model(argv[1], *type, shape);
} catch (const std::exception& e) {
  std::fprintf(stderr, "write_synthetic_model: %s\n", e.what());
  return 1;
}
