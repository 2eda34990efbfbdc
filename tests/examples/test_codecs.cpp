// What a codec costs in quality, on a book: nats per token against the same cache in f16.
#include <cmath>
#include <cstdlib>
#include <string>

#include "examples/run.hpp"
#include "support/shared.hpp"

using namespace weir_test;

namespace {

double nats_per_token(const std::string& flags) {
  const std::string json =
      output_of("\"$perplexity\" --model " + tiny + " --text '" +
                (*shared("texts") / "emma.txt").string() + "' --max-tokens 1200 " + flags);
  const std::string key = "\"nats_per_token\": ";
  REQUIRE(json.find(key) != std::string::npos);
  return std::strtod(json.c_str() + json.find(key) + key.size(), nullptr);
}

}  // namespace

TEST_CASE("int8 and int4 caches predict a book as f16 does") {
  if (!shared("texts") || !examples_built()) return;
  for (const std::string policy : {"", "--policy window --window 200 --positions original"}) {
    const double half = nats_per_token(policy + " --codec f16");
    REQUIRE(std::abs(nats_per_token(policy + " --codec int8") - half) <= 0.001);
    REQUIRE(std::abs(nats_per_token(policy + " --codec int4") - half) <= 0.02);
  }
}
