// The tools meet a float64 reference that shares no code with weir.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "examples/run.hpp"
#include "support/catch.hpp"
#include "support/shared.hpp"

using namespace weir_test;

namespace {

std::vector<double> numbers(const std::string& text) {
  std::vector<double> values;
  for (const std::string& line : lines_of(text))
    values.push_back(std::strtod(line.c_str(), nullptr));
  return values;
}

}  // namespace

TEST_CASE("Greedy tokens are those of two independent projects") {
  const auto folder = shared("golden");
  if (!folder || !examples_built()) return;
  std::string ids = read_text(*folder / "stories260K-greedy.json");
  ids.erase(0, ids.find("\"ids\": [") + 8);
  ids.erase(ids.find(']'));
  std::replace(ids.begin(), ids.end(), ',', '\n');
  const std::string model = (*shared("models") / "stories260K-f32.gguf").string();
  const std::string made = output_of("$stream --model '" + model +
                                     "' --prompt '' --tokens 199 --temperature 0 --policy full "
                                     "--codec f32 --ids");
  REQUIRE(numbers(ids).size() == 199);
  REQUIRE(numbers(made) == numbers(ids));
}

TEST_CASE("Log-probabilities meet the reference at every policy, codec and chunk") {
  const auto folder = shared("golden");
  if (!folder || !examples_built()) return;
  struct {
    const char *name, *file;
    double f32, f16, bf16;
  } const models[] = {{"tiny", "weir-tiny-f16.gguf", 0.001, 0.002, 0.02},
                      {"stories", "stories260K-f32.gguf", 0.001, 0.05, 0.5}};
  const std::pair<const char*, const char*> policies[] = {
      {"full", "--policy full --max-tokens 500"},
      {"window-original", "--policy window --window 60 --positions original --max-tokens 600"},
      {"sinks-original", "--sinks 4 --window 60 --positions original --max-tokens 600"},
      {"sinks-within", "--sinks 4 --window 60 --positions within-cache --max-tokens 600"}};
  for (const auto& m : models)
    for (const auto& [policy, flags] : policies) {
      const std::string golden_file = std::string(m.name) + "-" + policy + ".logprobs";
      const std::vector<double> golden = numbers(read_text(*folder / golden_file));
      const std::pair<const char*, double> codecs[] = {
          {"f32", m.f32}, {"f16", m.f16}, {"bf16", m.bf16}};
      for (const auto& [codec, tolerance] : codecs) {
        std::set<std::string> files;
        for (const char* chunk : {"1", "7", "256"}) {
          output_of("$perplexity --threads 1 --model '" + (*shared("models") / m.file).string() +
                    "' --text '" + (*folder / "text.txt").string() + "' --codec " + codec +
                    " --chunk " + chunk + " --logprobs '" + scratch("logprobs") + "' " + flags);
          files.insert(read_text(scratch("logprobs")));
        }
        INFO(golden_file << ", " << codec);
        REQUIRE(files.size() == 1);
        const std::vector<double> made = numbers(*files.begin());
        REQUIRE(made.size() == golden.size());
        double worst = 0;
        for (std::size_t i = 0; i < made.size(); ++i)
          worst = std::isnan(made[i]) ? INFINITY : std::max(worst, std::fabs(made[i] - golden[i]));
        CHECK(worst <= tolerance);
      }
    }
}
