// Models whose numbers are not finite, or beyond what a cache holds: the tools say so.
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "examples/run.hpp"
#include "support/catch.hpp"
#include "support/changed_model.hpp"

using namespace weir_test;

namespace {

/// The path, quoted for the shell, of a model file with these bytes.
std::string file_of(const std::vector<std::byte>& image) {
  std::string bytes(image.size(), '\0');
  std::memcpy(bytes.data(), image.data(), image.size());
  return "'" + scratch.with("changed.gguf", bytes) + "'";
}

/// One line on stderr, which holds all `parts`, nothing on stdout, and exit status 1.
void require_refused(const std::string& command, std::initializer_list<std::string> parts) {
  const outcome o = run(command);
  INFO(command << '\n' << o.err);
  REQUIRE(o.status == 1);
  REQUIRE(o.out.empty());
  REQUIRE(lines_of(o.err).size() == 1);
  for (const std::string& part : parts) REQUIRE(o.err.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("a weight that is not a number ends the tools with a sentence that names its layer") {
  if (!examples_built()) return;
  const std::string text = scratch.with("text", "It was a dark night, and the wind blew.");
  for (const auto& [tensor, place] : std::vector<std::pair<std::string, std::string>>{
           {"blk.1.attn_q.weight", "layer 1"}, {"output_norm.weight", "the output"}}) {
    const std::string model =
        file_of(image_with(tensor, 5, std::numeric_limits<float>::quiet_NaN()));
    require_refused("$stream --quiet --prompt 'It was' --tokens 5 --model " + model,
                    {"stream: ", "not finite: first in " + place});
    require_refused("$perplexity --text '" + text + "' --model " + model,
                    {"perplexity: ", "not finite: first in " + place});
    const outcome o =
        run("$speculative --quiet --prompt 'It was' --tokens 5 --drafter draft-model "
            "--draft " +
            model + " --model " + tiny);
    INFO(o.err);
    REQUIRE(o.status == 1);
    REQUIRE(o.err.find("the draft model's numbers are not finite") != std::string::npos);
    REQUIRE(lines_of(o.err).size() == 1);
  }
}

TEST_CASE("--on-overflow: refuse, warn or scale") {
  if (!examples_built()) return;
  const std::string model = file_of(
      image_with("blk.0.attn_norm.weight", [](std::size_t, float x) { return x * 0x1p18f; }));
  const std::string stream = "$stream --prompt 'It was' --ids --tokens 8 --temperature 0 --model ";
  require_refused(stream + model + " --on-overflow refuse",
                  {"stream: ", "beyond 65504, the largest that the codec holds", "expected"});
  const outcome cut = run(stream + model + " --on-overflow warn");
  REQUIRE(cut.status == 0);
  INFO(cut.err);
  REQUIRE(cut.err.find(" numbers beyond f16 cut (done)") != std::string::npos);
  const outcome scaled = run(stream + model), exact = run(stream + model + " --codec f32");
  REQUIRE(scaled.status == 0);
  REQUIRE(scaled.err.find("beyond") == std::string::npos);
  REQUIRE(scaled.out == exact.out);
  REQUIRE(cut.out != exact.out);
  const std::string text = scratch.with("text", "It was a dark night, and the wind blew.");
  const std::string rate = "$perplexity --text '" + text + "' --model " + model;
  REQUIRE(output_of(rate).find("\"cut_numbers\": 0}") != std::string::npos);
  REQUIRE(output_of(rate + " --on-overflow warn").find("\"cut_numbers\": 0}") == std::string::npos);
  REQUIRE(run(stream + tiny + " --on-overflow maybe").status == 2);
}
