// Stop strings are never shown, however the text is cut, and nothing else is lost.
#include <weir/stream/stop_matcher.hpp>

#include <string>

#include "support/catch.hpp"

namespace {

struct outcome {
  std::string text;
  bool stopped = false;
};

/// Pushes `text` in pieces of `size` bytes.
outcome run(const std::vector<std::string>& stops, const std::string& text, std::size_t size) {
  weir::stop_matcher matcher(stops, size);
  outcome o;
  for (std::size_t at = 0; at < text.size() && !o.stopped; at += size) {
    o.text += matcher.push(std::string_view(text).substr(at, size));
    o.stopped = matcher.stopped();
  }
  if (!o.stopped) o.text += matcher.flush();
  return o;
}

}  // namespace

TEST_CASE("text ends before the first stop string, for every way of cutting it") {
  for (std::size_t size = 1; size < 20; ++size) {
    REQUIRE(run({"END"}, "one two END three", size).text == "one two ");
    REQUIRE(run({"END"}, "one two END three", size).stopped);
    REQUIRE(run({"aab"}, "aaaab", size).text == "aa");
    REQUIRE(run({"zz", "two"}, "one two zz", size).text == "one ");
  }
}

TEST_CASE("beginnings that come to nothing are shown in the end") {
  for (std::size_t size = 1; size < 20; ++size) {
    REQUIRE(run({"ENDING"}, "this is the EN D END", size).text == "this is the EN D END");
    REQUIRE_FALSE(run({"ENDING"}, "this is the EN D END", size).stopped);
    REQUIRE(run({}, "anything", size).text == "anything");
  }
}

TEST_CASE("text that cannot begin a stop string is shown at once") {
  weir::stop_matcher matcher({"stop"}, 16);
  REQUIRE(matcher.push("go on") == "go on");
  REQUIRE(matcher.push(" st") == " ");
  REQUIRE(matcher.push("ay") == "stay");
  REQUIRE(matcher.push("sto") == "");
  REQUIRE(matcher.push("pped") == "");
  REQUIRE(matcher.stopped());
}

TEST_CASE("an empty stop string is refused") {
  REQUIRE_THROWS_AS(weir::stop_matcher({""}, 8), weir::error::bad_config);
}
