// What the sources promise: short programs, a short policy, and a README that shows compiled code.
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "examples/run.hpp"
#include "support/catch.hpp"

using namespace weir_test;

namespace {

const std::filesystem::path source = WEIR_SOURCE_DIR;

}  // namespace

TEST_CASE("The course's programs are under 100 lines each") {
  for (const char* name :
       {"01_stream", "02_custom_policy", "03_bring_your_own_model", "04_draft_ahead"}) {
    INFO(name);
    const auto lines =
        lines_of(read_text(source / "examples" / (std::string(name) + ".cpp"))).size();
    REQUIRE(lines > 0);
    REQUIRE(lines < 100);
  }
}

TEST_CASE("A policy of one's own takes at most 15 lines") {
  const auto lines = lines_of(read_text(source / "examples/02_custom_policy.cpp"));
  const auto begin = std::find(lines.begin(), lines.end(), "// [policy]");
  const auto end = std::find(begin, lines.end(), "// [/policy]");
  REQUIRE(end != lines.end());
  REQUIRE(end - begin - 1 <= 15);
}

TEST_CASE("Every C++ block of the README is part of an example") {
  std::vector<std::string> examples;
  for (const auto& file : std::filesystem::directory_iterator(source / "examples"))
    if (file.path().extension() == ".cpp") examples.push_back(read_text(file.path()));
  const std::string readme = read_text(source / "README.md"), opening = "```cpp\n";
  for (std::size_t at = 0; (at = readme.find(opening, at)) != std::string::npos;) {
    at += opening.size();
    const std::string block = readme.substr(at, readme.find("```", at) - at);
    INFO(block);
    REQUIRE(std::any_of(examples.begin(), examples.end(), [&](const std::string& text) {
      return text.find(block) != std::string::npos;
    }));
  }
}

TEST_CASE("The README's program is the first example, whole") {
  REQUIRE(read_text(source / "README.md")
              .find("```cpp\n" + read_text(source / "examples/01_stream.cpp") + "```") !=
          std::string::npos);
}
