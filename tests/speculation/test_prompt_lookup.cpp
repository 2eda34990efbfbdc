#include <weir/speculation/drafters/prompt_lookup.hpp>

#include <algorithm>
#include <vector>

#include "speculation/drafter_checks.hpp"
#include "support/refusal.hpp"

using weir::prompt_lookup;
using weir_test::ids;

namespace {

ids after(const prompt_lookup& settings, const ids& tokens) {
  prompt_lookup::state state(settings, {});
  state.append(tokens);
  return weir_test::drafts_of(weir_test::drafted(state, tokens.back(), settings.limits()));
}

/// The same by looking at everything.
ids reference(const prompt_lookup& s, std::span<const weir::token_id> tokens) {
  if (tokens.size() > s.history) tokens = tokens.last(s.history);
  for (std::size_t n = s.longest; n >= s.shortest; --n)
    for (std::size_t end = tokens.size(); end-- > n;)
      if (std::equal(tokens.end() - static_cast<std::ptrdiff_t>(n), tokens.end(),
                     tokens.begin() + static_cast<std::ptrdiff_t>(end - n))) {
        const auto follow = tokens.subspan(end, std::min(s.tokens, tokens.size() - end));
        return {follow.begin(), follow.end()};
      }
  return {};
}

}  // namespace

TEST_CASE("the latest place where the last tokens were says what follows") {
  const ids tokens{5, 7, 9, 4, 7, 9, 2, 8, 7, 9};
  CHECK(after({.tokens = 4}, tokens) == ids{2, 8, 7, 9});
  CHECK(after({.tokens = 3}, tokens) == ids{2, 8, 7});
  CHECK(after({.tokens = 9}, tokens) == ids{2, 8, 7, 9});  // the stream's end
  CHECK(after({.tokens = 4, .shortest = 3}, tokens).empty());
  CHECK(after({.tokens = 4}, {1, 2, 3}).empty());
  CHECK(after({.tokens = 4}, {1, 1}) == ids{1});
  // A longer n-gram goes before a later place.
  CHECK(after({.tokens = 1}, {1, 2, 3, 9, 2, 8, 1, 2}) == ids{3});
}

TEST_CASE("lookups find what looking at all of the history finds") {
  for (const std::size_t history : {5u, 16u, 61u, 64u, 500u})
    for (const std::size_t vocabulary : {2u, 5u, 50u, 1000u})
      for (const std::size_t shortest : {1u, 2u}) {
        const prompt_lookup settings{
            .tokens = 6, .longest = 4, .shortest = shortest, .history = history};
        const ids tokens = weir_test::random_tokens(1500, vocabulary, history + vocabulary, true);
        prompt_lookup::state state(settings, {});
        bool equal = true;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
          const std::span<const weir::token_id> so_far(tokens.data(), i + 1);
          state.append(so_far.last(1));
          equal = equal && weir_test::drafts_of(weir_test::drafted(
                               state, tokens[i], settings.limits())) == reference(settings, so_far);
        }
        CAPTURE(history, vocabulary, shortest);
        CHECK(equal);
      }
}

TEST_CASE("chunks make no difference, and a reset forgets") {
  const prompt_lookup settings{.tokens = 5, .history = 100};
  const ids tokens = weir_test::random_tokens(1000, 6, 1);
  prompt_lookup::state whole(settings, {}), parts(settings, {});
  whole.append(tokens);
  parts.append(weir_test::random_tokens(1000, 6, 2));
  parts.reset();
  CHECK(weir_test::drafted(parts, 0, settings.limits()).drafts() == 0);
  for (std::size_t i = 0; i < tokens.size(); i += 8) parts.append(std::span(tokens).subspan(i, 8));
  CHECK(weir_test::drafts_of(weir_test::drafted(whole, tokens.back(), settings.limits())) ==
        weir_test::drafts_of(weir_test::drafted(parts, tokens.back(), settings.limits())));
}

TEST_CASE("prompt lookup is a sound drafter") {
  weir_test::check_drafter(prompt_lookup{});
  weir_test::check_drafter(prompt_lookup{.tokens = 3, .longest = 5, .shortest = 2, .history = 37});
}

TEST_CASE("prompt lookup refuses settings without sense") {
  using weir::error::bad_config;
  const auto make = [](prompt_lookup s) { prompt_lookup::state state(s, {}); };
  weir_test::require_refused<bad_config>([&] { make({.shortest = 0}); }, {"shortest"});
  weir_test::require_refused<bad_config>([&] { make({.longest = 2, .shortest = 3}); }, {"3 to 2"});
  weir_test::require_refused<bad_config>([&] { make({.history = 3}); }, {"history"});
}
