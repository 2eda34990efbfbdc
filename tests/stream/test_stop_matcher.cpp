// Stop strings are never shown, however the text is cut, and nothing else is lost.
#include <weir/core/error.hpp>
#include <weir/stream/stop_matcher.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  if (!o.stopped) o.text += matcher.show_held();
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

TEST_CASE("the stop string that is complete first counts, within others or not") {
  for (std::size_t size = 1; size < 8; ++size) {
    REQUIRE(run({"abcd", "bc"}, "xabcd", size).text == "xa");
    REQUIRE(run({"bc", "abcd"}, "xabcd", size).text == "xa");
    REQUIRE(run({"bcd", "abcd"}, "xabcd", size).text == "x");
  }
  // Against the rule read literally, over all that two letters can do.
  std::uint64_t state = 1;
  const auto random = [&](std::size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state >> 40) % n;
  };
  const auto word = [&](std::size_t n) {
    std::string text;
    while (text.size() < n) text += random(2) == 0 ? 'a' : 'b';
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t i = 1 + random(3); i > 0; --i) stops.push_back(word(1 + random(6)));
    const std::string text = word(random(24));
    std::string expected = text;
    for (std::size_t end = 1; end <= text.size() && expected == text; ++end)
      for (const std::string& stop : stops)
        if (std::string_view(text).substr(0, end).ends_with(stop))
          if (end - stop.size() < expected.size()) expected = text.substr(0, end - stop.size());
    for (const std::size_t size : {1u, 2u, 3u, 5u, 30u}) {
      INFO(text << " cut to " << size);
      REQUIRE(run(stops, text, size).text == expected);
    }
  }
}

TEST_CASE("text that was shown although it was held still begins a stop string") {
  weir::stop_matcher matcher({"stop"}, 16);
  REQUIRE(matcher.push("a st") == "a ");
  REQUIRE(matcher.holds());
  REQUIRE(matcher.show_held() == "st");
  REQUIRE_FALSE(matcher.holds());
  REQUIRE(matcher.show_held() == "");
  REQUIRE(matcher.push("o") == "");
  REQUIRE(matcher.show_held() == "o");
  REQUIRE(matcher.push("p and on") == "");
  REQUIRE(matcher.stopped());
  matcher.reset();
  REQUIRE(matcher.push("sto") == "");
  REQUIRE(matcher.show_held() == "sto");
  REQUIRE(matcher.push("ry st") == "ry ");  // shown once
  REQUIRE(matcher.push("em") == "stem");
}

TEST_CASE("an empty stop string is refused") {
  REQUIRE_THROWS_AS(weir::stop_matcher({""}, 8), weir::error::bad_config);
}
