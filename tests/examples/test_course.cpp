// The course's programs run, and say what they should.
#include <string>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;

TEST_CASE("01_stream streams as many tokens as asked for, or for ever") {
  if (!examples_built()) return;
  const std::string text = output_of("$d/01_stream " + tiny + " 'It was a dark night' 300");
  REQUIRE(text.size() > 300);
  REQUIRE(text == output_of("$stream --quiet --model " + tiny +
                            " --prompt 'It was a dark night' --tokens 300; echo"));
  REQUIRE(output_of("$d/01_stream " + tiny + " 'It was a dark night' | head -c 6000").size() ==
          6000);
  const outcome refused = run("$d/01_stream nowhere.gguf 'It was'");
  REQUIRE(refused.status == 1);
  REQUIRE(refused.out.empty());
  REQUIRE(refused.err.find("nowhere.gguf") != std::string::npos);
  REQUIRE(run("$d/01_stream").status == 2);
  for (const char* program : {"01_stream", "02_custom_policy", "04_draft_ahead"}) {
    const std::string told = "$d/" + std::string(program) + " " + tiny + " 'It was' ";
    for (const char* tokens : {"-3", "3x", "x", "''", "1.5", "99999999999999999999", "3 4"})
      REQUIRE(run(told + tokens).status == 2);
    REQUIRE(run(told + "3 >/dev/full").status == 1);
  }
}

TEST_CASE("02_custom_policy evicts by a score of its own") {
  if (!examples_built()) return;
  const std::string text = output_of("$d/02_custom_policy " + tiny + " 'It was a dark night' 400");
  REQUIRE(text.find("no row read more than 192.") != std::string::npos);
  REQUIRE(text.find(" before its window: 0 1 2 3 ") != std::string::npos);
}

TEST_CASE("03_bring_your_own_model gives the same tokens with and without drafts") {
  if (!examples_built()) return;
  const std::string text = output_of("$d/03_bring_your_own_model");
  REQUIRE(text.find("0 drafts, 0 accepted\n") == 0);
  REQUIRE(text.find(" 0 accepted", 22) == std::string::npos);
  REQUIRE(text.find("The same tokens") != std::string::npos);
}

TEST_CASE("04_draft_ahead says what 01_stream says") {
  if (!examples_built()) return;
  const std::string arguments = tiny + " 'It was a dark night' 200";
  const std::string drafted = output_of("$d/04_draft_ahead " + arguments);
  const std::string plain = output_of("$d/01_stream " + arguments);
  REQUIRE(drafted.substr(0, plain.size()) == plain);
  REQUIRE(drafted.find(" right\n", plain.size()) != std::string::npos);
}
