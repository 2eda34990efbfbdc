// speculative says the same text whoever drafts, and refuses what does not go together.
#include <string>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;

TEST_CASE("Whoever drafts, the text is that of stream") {
  if (!examples_built()) return;
  for (const char* sampling : {" --temperature 0", " --temperature 0.8 --top-p 0.95"}) {
    const std::string arguments = " --quiet --model " + tiny +
                                  " --prompt 'It was a dark night, a dark night' --tokens 60"
                                  " --seed 3 --policy h2o --budget 96" +
                                  sampling;
    const std::string plain = output_of("$d/stream" + arguments);
    REQUIRE(plain.size() > 60);
    for (const std::string drafter :
         {"prompt-lookup", "lookahead", "ngram-cache --adaptive", "early-exit --layers 2",
          "draft-model --draft $tiny", "static-tree --draft-tokens 8 --draft $tiny",
          "dynamic-tree --draft-tokens 8 --threshold 0.1 --draft $tiny"}) {
      INFO(drafter);
      std::string flags = " --drafter " + drafter;
      if (const auto at = flags.find("$tiny"); at != std::string::npos) flags.replace(at, 5, tiny);
      const outcome done = run("$d/speculative --rounds 1" + arguments + flags);
      REQUIRE(done.status == 0);
      REQUIRE(done.out == plain + "\n");
    }
  }
}

TEST_CASE("What is done is counted") {
  if (!examples_built()) return;
  const outcome done = run("$d/speculative --model " + tiny +
                           " --prompt 'It was a dark night' --tokens 81 --drafter draft-model"
                           " --draft-tokens 4 --draft " +
                           tiny + " --policy full --rounds 1");
  REQUIRE(done.status == 0);
  // Prefill gives the first token; 16 passes of 5 the others.
  for (const char* line :
       {"tokens                             81", "drafts                            ", "100.0 %",
        "the tokens are the same", "times as fast"})
    REQUIRE(done.err.find(line) != std::string::npos);
  REQUIRE(run("$d/speculative --model " + tiny +
              " --prompt 'It was' --tokens 40 --drafter"
              " dynamic-tree --verifier rejection --temperature 1 --draft " +
              tiny)
              .status == 0);
  REQUIRE(run("$d/speculative --model " + tiny +
              " --prompt 'It was' --tokens 40 --verifier"
              " typical-lossy --temperature 1")
              .status == 0);
}

TEST_CASE("What does not go together is refused") {
  if (!examples_built()) return;
  const auto refused = [](const std::string& flags, int status, const std::string& part) {
    INFO(flags);
    const outcome o = run("$d/speculative --model " + tiny + " --prompt 'It was' " + flags);
    CHECK(o.status == status);
    CHECK(o.out.empty());
    CHECK(o.err.find(part) != std::string::npos);
  };
  refused("--drafter draft-model", 1, "--drafter draft-model: needs --draft FILE");
  refused("--drafter early-exit --layers 4", 1, "early_exit.layers: 4 (expected 1 to 3");
  refused("--drafter early-exit --verifier rejection", 1, "--verifier match");
  refused("--policy sirllm", 1, "goes by log-probabilities");
  refused("--draft-tokens 65", 1, "--draft-tokens: 65 (expected 1 to 64)");
  refused("--drafter oracle", 2, "--drafter");
  refused("--draft " + tiny, 2, "--draft: not read by --drafter prompt-lookup");
  refused("--drafter static-tree --threshold 0.5 --draft " + tiny, 2, "not read by");
  refused("--window 4", 1, "max_draft_rows");
}
