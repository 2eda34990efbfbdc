#include <weir/sampling/sampler.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

using weir::random_source;
using weir::sampler;
using weir::sampling;
using weir::token_id;
using weir::token_probability;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Logits after penalties, for a stream that is all in the window.
std::vector<float> penalized(const sampling& how, const std::vector<float>& logits,
                             const std::vector<token_id>& stream) {
  std::vector<token_id> memory(weir::token_window::room(how.repeat_last, 0));
  weir::token_window recent(memory, how.repeat_last);
  for (const token_id id : stream) recent.push(id);
  std::vector<float> out(logits.size());
  weir::penalize(logits, recent, how, out);
  return out;
}

void check_near(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(std::fabs(found[i] - expected[i]) < 1e-4);
}

/// What a sampler says that was told `stream`.
std::vector<token_probability> told(const sampling& how, const std::vector<float>& logits,
                                    const std::vector<token_id>& stream) {
  sampler s(how, logits.size());
  for (const token_id id : stream) s.push(id);
  const auto tokens = s.distribution(logits);
  return {tokens.begin(), tokens.end()};
}

std::vector<token_probability> now(sampler& s, const std::vector<float>& logits) {
  const auto tokens = s.distribution(logits);
  return {tokens.begin(), tokens.end()};
}

const std::vector<float> five = {2, 1, .5f, 0, -1};

}  // namespace

TEST_CASE("published values of the repetition penalty") {
  check_near(penalized({.repetition_penalty = 1.2f}, five, {0, 1, 2, 3, 4}),
             {1.6667, .8333, .4167, 0, -1.2});
  // Only tokens that were there, and once however often they were.
  check_near(penalized({.repetition_penalty = 1.2f}, five, {4, 0, 4, 4}), {1.6667, 1, .5, 0, -1.2});
  check_near(penalized({.repetition_penalty = 1.2f}, five, {}), {2, 1, .5, 0, -1});
}

TEST_CASE("presence counts once, frequency as often as the token came, both behind repetition") {
  check_near(penalized({.presence_penalty = .5f}, five, {1, 1, 4}), {2, .5, .5, 0, -1.5});
  check_near(penalized({.frequency_penalty = .25f}, five, {1, 1, 4}), {2, .5, .5, 0, -1.25});
  check_near(
      penalized({.repetition_penalty = 2, .presence_penalty = .5f, .frequency_penalty = .25f}, five,
                {1, 0, 1, 4}),
      {2 / 2. - .75, 1 / 2. - 1, .5, 0, -1 * 2. - .75});
  // Penalties below "off" favour what was said.
  check_near(penalized({.repetition_penalty = .5f, .presence_penalty = -1}, five, {0, 4}),
             {5, 1, .5, 0, .5});
}

TEST_CASE("penalties come before temperature and every cut") {
  const auto tokens_of = [](const std::vector<token_probability>& distribution) {
    std::vector<token_id> ids;
    for (const auto& t : distribution) ids.push_back(t.token);
    return ids;
  };
  // (2 − 1) / ½ = 1 / ½. The other way around it would be 4 − 1 against 2.
  const auto even = told({.temperature = .5f, .presence_penalty = 1}, {2, 1}, {0});
  REQUIRE(even.size() == 2);
  CHECK(even[0].probability == even[1].probability);

  const std::vector<float> close = {2, 1.9f, 0};
  CHECK(tokens_of(told({.top_k = 1, .repetition_penalty = 2}, close, {})) ==
        std::vector<token_id>{0});
  CHECK(tokens_of(told({.top_k = 1, .repetition_penalty = 2}, close, {0})) ==
        std::vector<token_id>{1});
  CHECK(tokens_of(told({.temperature = 1, .top_p = .5f, .repetition_penalty = 2}, close, {0})) ==
        std::vector<token_id>{1});
  CHECK(tokens_of(told({.temperature = 1, .min_p = .5f, .repetition_penalty = 2}, close, {0})) ==
        std::vector<token_id>{1});
}

TEST_CASE("the most probable token is chosen after penalties") {
  const sampling greedy{.temperature = 0, .repetition_penalty = 1.5f};
  sampler s(greedy, five.size());
  const random_source random{1, 1};
  // 2, 1, .5 shrink to 1.33, .67, .33; 0 stays and −1 becomes −1.5: the order never changes …
  for (std::uint64_t i = 0; i < 5; ++i) {
    CHECK(s(five, random, i) == 0);
    s.push(static_cast<token_id>(i));
  }
  // … but 1.9 passes 2 / 1.5; on ties, the lower id.
  const std::vector<float> close = {2, 1.9f, 1.9f};
  CHECK(told(greedy, close, {}) == std::vector<token_probability>{{0, 1.0f}});
  CHECK(told(greedy, close, {0}) == std::vector<token_probability>{{1, 1.0f}});
  CHECK(told(greedy, close, {0, 1}) == std::vector<token_probability>{{2, 1.0f}});
  CHECK(told(greedy, close, {0, 1, 2}) == std::vector<token_probability>{{0, 1.0f}});
}

TEST_CASE("a token is penalized until it has left the window") {
  for (const std::size_t size : {1u, 2u, 7u, 64u}) {
    const sampling how{.temperature = 1, .repetition_penalty = 1.3f, .repeat_last = size};
    const std::vector<float> logits = {1, 1, 1, -1};
    const auto untouched = told(how, logits, {});
    const auto of_one = told(how, logits, {1});
    const auto of_both = told(how, logits, {0, 1});
    sampler s(how, logits.size());
    for (int round = 0; round < 3; ++round) {
      s.push(0);
      for (std::size_t i = 1; i <= size; ++i) {
        s.push(1);
        CHECK(now(s, logits) == (i < size ? of_both : of_one));
      }
    }
    s.reset();
    CHECK(now(s, logits) == untouched);
  }
}

TEST_CASE("taking back leaves exactly what never pushing leaves") {
  constexpr std::size_t vocab = 40;
  const auto logits = weir_test::random_floats(vocab, 8, 3.0f);
  for (const std::size_t max_taken_back : {0u, 1u, 3u, 16u})
    for (const std::size_t size : {1u, 2u, 5u, 30u})
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        const sampling how{.temperature = 0.9f,
                           .top_p = 0.95f,
                           .repetition_penalty = 1.3f,
                           .presence_penalty = 0.1f,
                           .frequency_penalty = 0.07f,
                           .repeat_last = size};
        sampler s(how, vocab, max_taken_back);
        const random_source random{seed, size};
        std::vector<token_id> stream;
        std::size_t longest = 0;
        for (std::uint64_t i = 0; i < 300; ++i) {
          const auto choice = [&](std::uint32_t draw, std::size_t n) {
            return static_cast<std::size_t>(random.bits(weir::purpose::scoring, i, draw) % n);
          };
          const std::size_t furthest =
              stream.size() - (longest > max_taken_back ? longest - max_taken_back : 0);
          if (choice(0, 3) == 0) {
            CHECK_THROWS_AS(s.take_back(furthest + 1), weir::error::bad_call);
            const std::size_t n = choice(1, furthest + 1);
            s.take_back(n);
            stream.resize(stream.size() - n);
          } else {
            stream.push_back(static_cast<token_id>(choice(1, vocab)));
            s.push(stream.back());
            longest = std::max(longest, stream.size());
          }
          REQUIRE(now(s, logits) == told(how, logits, stream));
        }
        s.reset();
        REQUIRE(now(s, logits) == told(how, logits, {}));
        CHECK_THROWS_AS(s.take_back(1), weir::error::bad_call);
      }
}

TEST_CASE("a token's place in the window does not matter") {
  const auto logits = weir_test::random_floats(20, 8, 3.0f);
  const sampling how{.temperature = 1, .repetition_penalty = 1.1f, .frequency_penalty = 0.3f};
  CHECK(told(how, logits, {3, 9, 3, 3, 7}) == told(how, logits, {7, 3, 3, 9, 3}));
}

TEST_CASE("penalties leave NaN and infinities alone") {
  const sampling how{.repetition_penalty = 1.5f, .presence_penalty = 1, .frequency_penalty = 1};
  const auto out = penalized(how, {not_a_number, infinity, -infinity, 0}, {0, 1, 2, 3});
  CHECK(std::isnan(out[0]));
  CHECK(out[1] == infinity);
  CHECK(out[2] == -infinity);
  CHECK(out[3] == -2);
  const auto distribution = told(how, {not_a_number, infinity, -infinity, infinity}, {0, 1, 2, 3});
  CHECK(distribution == std::vector<token_probability>{{1, .5f}, {3, .5f}});
}

TEST_CASE("without penalties pushing changes nothing and takes no memory") {
  const auto logits = weir_test::random_floats(100, 8, 3.0f);
  for (const sampling how : {sampling{}, sampling{.temperature = 0}, sampling{.repeat_last = 5}}) {
    sampler silent(how, 100), told(how, 100, 8);
    CHECK(told.bytes() == sampler::required_bytes(100));
    CHECK(told.bytes() == silent.bytes());
    for (std::uint64_t i = 0; i < 50; ++i) {
      told.push(static_cast<token_id>(i));
      if (i % 3 == 0) told.take_back(1);
      REQUIRE(now(silent, logits) == now(told, logits));
      REQUIRE(silent(logits, random_source{1, 2}, i) == told(logits, random_source{1, 2}, i));
    }
  }
}

TEST_CASE("penalties out of range are refused, and so are tokens") {
  const auto refused = [](const sampling& how, std::string_view name) {
    weir_test::require_refused<weir::error::bad_config>([&] { sampler(how, 4); },
                                                        {name, "expected"});
  };
  for (const float bad : {not_a_number, infinity, 0.0f, -1.0f})
    refused({.repetition_penalty = bad}, "repetition_penalty: ");
  for (const float bad : {not_a_number, infinity, -infinity}) {
    refused({.presence_penalty = bad}, "presence_penalty: ");
    refused({.frequency_penalty = bad}, "frequency_penalty: ");
  }
  for (const std::size_t bad :
       {std::size_t{0}, sampling::max_repeat_last + 1, std::numeric_limits<std::size_t>::max()})
    refused({.repeat_last = bad}, "repeat_last: ");
  weir_test::require_refused<weir::error::bad_config>(
      [] { sampler({}, 4, std::numeric_limits<std::size_t>::max()); },
      {"to be taken back", "expected"});

  const sampling how{.temperature = 1, .repetition_penalty = 1.3f};
  sampler s(how, 4, 2);
  s.push(3);
  const std::vector<float> logits = {1, 2, 3, 4};
  const auto before = now(s, logits);
  for (const token_id bad : {-1, 4})
    weir_test::require_refused<weir::error::bad_input>(
        [&] { s.push(bad); }, {"push: token " + std::to_string(bad), "from 0 to below 4"});
  weir_test::require_refused<weir::error::bad_call>([&] { s.take_back(2); },
                                                    {"take_back: 2", "at most the last 1"});
  CHECK(now(s, logits) == before);
}

TEST_CASE("a sampler with penalties holds what it announced and allocates nothing") {
  const auto logits = weir_test::random_floats(3000, 4, 6.0f);
  for (const sampling how :
       {sampling{.repetition_penalty = 1.2f},
        sampling{.top_p = 0.9f, .presence_penalty = 1, .repeat_last = 300},
        sampling{.temperature = 0, .frequency_penalty = 1},
        sampling{.repetition_penalty = 1.2f, .draw = weir::draw_rule::gumbel}}) {
    sampler s(how, logits.size(), 10);
    CHECK(s.bytes() == sampler::required_bytes(logits.size(), how, 10));
    CHECK(s.bytes() >=
          sampler::required_bytes(logits.size()) + (how.repeat_last + 10) * sizeof(token_id));
    const std::size_t before = weir_test::allocation_count();
    for (std::uint64_t i = 0; i < 500; ++i) {
      s.push(s(logits, random_source{1, 1}, i));
      if (i % 20 == 19) s.take_back(10);
    }
    s.reset();
    const std::size_t after = weir_test::allocation_count();
    CHECK(after == before);
  }
}
