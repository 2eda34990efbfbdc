// What the tools print depends on model, text and policies; never on chunks or threads.
#include <string>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;

TEST_CASE("A file of log-probabilities has the same bytes for every chunk and thread count") {
  if (!examples_built()) return;
  const std::string text = scratch.with("text", read_text(WEIR_SOURCE_DIR "/LICENSE"));
  for (const std::string policy :
       {"--policy full", "--policy window --window 40", "--sinks 3 --window 61",
        "--sinks 3 --window 61 --positions original --codec bf16"}) {
    std::string first;
    const auto require_same = [&](const std::string& work) {
      const std::string file = scratch("logprobs");
      output_of("$perplexity --model " + tiny + " --text '" + text + "' --max-tokens 300 " +
                policy + " --logprobs '" + file + "' " + work);
      INFO(policy << ' ' << work);
      const std::string made = read_text(file);
      REQUIRE(lines_of(made).size() == 300);
      if (first.empty()) first = made;
      REQUIRE(made == first);
    };
    for (const char* chunk : {"1", "7", "64", "512"})
      require_same(std::string("--threads 1 --chunk ") + chunk);
    for (const char* threads : {"2", "3"})
      for (const char* chunk : {"7", "256"})
        require_same(std::string("--threads ") + threads + " --chunk " + chunk);
  }
}

TEST_CASE("Sampled tokens are the same for every chunk and thread count; seeds tell them apart") {
  if (!examples_built()) return;
  std::string prompt;
  for (int i = 0; i < 40; ++i) prompt += "It was a dark night and the wind blew. ";
  const std::string command = "$stream --model " + tiny + " --prompt '" + prompt +
                              "' --tokens 40 --sinks 4 --window 28 --ids ";
  const std::string made = output_of(command + "--threads 1");
  REQUIRE(lines_of(made).size() == 40);
  REQUIRE(output_of(command + "--threads 2 --chunk 1") == made);
  REQUIRE(output_of(command + "--threads 3 --chunk 50 --seed 0") == made);
  REQUIRE(output_of(command + "--seed 1") != made);
}
