// Stop strings across calls: what is shown and where it ends is what one uninterrupted call shows,
// whether a generation is cut by max_tokens, by a callback, by leaving a loop or by cancelling.
#include <weir/weir.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "stream/decoding.hpp"
#include "support/catch.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::prompt, weir_test::small;
using streaming = kv_cache<f16, keep<sinks, window>>;

struct outcome {
  std::string text;
  std::size_t tokens = 0;
  finish_reason why = finish_reason::unfinished;
};

stream_decoder<streaming> decoder_with(const std::vector<std::string>& stop) {
  return {bundled(), small, {.sample = {.temperature = 0}, .stop = stop}};
}

constexpr std::size_t most = 60;

outcome in_one_call(const std::vector<std::string>& stop) {
  auto decoder = decoder_with(stop);
  outcome o;
  o.why = decoder.generate(prompt,
                           [&](const token_event& e) {
                             o.text += e.text;
                             ++o.tokens;
                             return true;
                           },
                           {.max_tokens = most});
  return o;
}

/// Stop strings that lie at any place of what is said, over two tokens and more.
std::vector<std::string> places() {
  const std::string text = in_one_call({}).text;
  std::vector<std::string> all;
  for (std::size_t at = 3; at + 12 < text.size(); at += 7) all.push_back(text.substr(at, 9));
  REQUIRE(all.size() > 5);
  return all;
}

}  // namespace

TEST_CASE("max_tokens and resume match a stop string where one call does") {
  for (const std::string& stop : places()) {
    INFO("'" << stop << "'");
    const outcome whole = in_one_call({stop});
    REQUIRE(whole.why == finish_reason::stop_string);
    for (const std::size_t n : {1u, 2u, 5u})
      for (const bool keep_held : {false, true}) {
        auto decoder = decoder_with({stop});
        outcome o;
        const auto show = [&](const token_event& e) {
          o.text += e.text;
          ++o.tokens;
          return true;
        };
        const generate_options some{.max_tokens = n, .keep_held = keep_held};
        o.why = decoder.generate(prompt, show, some);
        while (o.why == finish_reason::max_tokens && o.tokens < most)
          o.why = decoder.resume(show, some);
        CHECK(o.why == finish_reason::stop_string);
        CHECK(o.tokens == whole.tokens);
        // Without keep_held, beginnings of the stop string were shown at ends of calls.
        CHECK(o.text.substr(0, whole.text.size()) == whole.text);
        CHECK(
            std::string_view(stop).starts_with(std::string_view(o.text).substr(whole.text.size())));
        if (keep_held) CHECK(o.text == whole.text);
      }
  }
}

TEST_CASE("a callback that returns false at a token that ends the generation says how it ended") {
  for (const std::string& stop : places()) {
    INFO("'" << stop << "'");
    const outcome whole = in_one_call({stop});
    auto decoder = decoder_with({stop});
    outcome o;
    const auto show = [&](const token_event& e) {
      o.text += e.text;
      ++o.tokens;
      return false;
    };
    o.why = decoder.generate(prompt, show);
    while (o.why == finish_reason::callback && o.tokens < most) o.why = decoder.resume(show);
    CHECK(o.why == finish_reason::stop_string);
    CHECK(decoder.finished() == finish_reason::stop_string);
    CHECK(o.tokens == whole.tokens);
    CHECK(o.text == whole.text);
  }
  auto decoder = decoder_with({});
  CHECK(decoder.generate(prompt, [](const token_event&) { return false; }, {.max_tokens = 1}) ==
        finish_reason::max_tokens);
}

TEST_CASE("text held back is not lost where a generation is cancelled or left") {
  const std::string text = in_one_call({}).text;
  // Beginnings that come to nothing: a word, then what never follows.
  for (std::size_t at = 3; at + 12 < text.size(); at += 5) {
    const std::string stop = text.substr(at, 4) + "#";
    INFO("'" << stop << "'");
    for (const std::size_t cut : {1u, 2u, 3u, 5u, 8u, 13u, 21u, 29u}) {
      std::stop_source source;
      auto decoder = decoder_with({stop}), looped = decoder_with({stop}),
           called = decoder_with({stop});
      std::string shown, by_loop, by_callback;
      std::size_t tokens = 0;
      const finish_reason why = decoder.generate(prompt,
                                                 [&](const token_event& e) {
                                                   shown += e.text;
                                                   if (++tokens == cut) source.request_stop();
                                                   return true;
                                                 },
                                                 {.cancel = source.get_token()});
      REQUIRE(why == finish_reason::cancelled);
      shown += decoder.held_text();
      REQUIRE(decoder.held_text().empty());

      std::size_t made = 0;
      called.generate(prompt, [&](const token_event& e) {
        by_callback += e.text;
        return ++made < cut;
      });
      by_callback += called.held_text();
      CHECK(by_callback == shown);
      CHECK(text.substr(0, shown.size()) == shown);

      // The rest follows, nothing twice.
      decoder.resume(
          [&](const token_event& e) {
            shown += e.text;
            return true;
          },
          {.max_tokens = most - tokens});
      CHECK(shown == text);

      std::stop_source other;
      bool first = true;
      for (const std::string_view piece : looped.generate(prompt, {.cancel = other.get_token()})) {
        by_loop += piece;
        if (first) other.request_stop();
        first = false;
      }
      CHECK(looped.held_text().empty());
      CHECK(text.substr(0, by_loop.size()) == by_loop);
    }
  }
}
