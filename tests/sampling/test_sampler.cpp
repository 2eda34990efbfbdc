#include <weir/sampling/sampler.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/random_weights.hpp"

using weir::random_source;
using weir::sampler;
using weir::sampling;
using weir::token_id;
using weir::token_probability;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

std::vector<float> logs(const std::vector<double>& p) {
  std::vector<float> logits;
  for (const double x : p) logits.push_back(static_cast<float>(std::log(x)));
  return logits;
}

std::vector<token_probability> distribution(const sampling& how, const std::vector<float>& logits) {
  sampler s(how, logits.size());
  const auto tokens = s.distribution(logits);
  return {tokens.begin(), tokens.end()};
}

void check(const std::vector<token_probability>& found, const std::vector<token_id>& tokens,
           const std::vector<double>& probabilities) {
  REQUIRE(found.size() == tokens.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].token == tokens[i]);
    CHECK(std::fabs(found[i].probability - probabilities[i]) < 1e-6);
  }
}

const std::vector<float> four = logs({.1, .2, .3, .4});

/// What the options mean, by a full sort.
std::vector<token_probability> by_sorting(const sampling& how, const std::vector<float>& logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  std::vector<token_probability> all;
  for (std::size_t i = 0; i < logits.size(); ++i)
    all.push_back(
        {static_cast<token_id>(i), weir::simd::exp((logits[i] - most) / how.temperature)});
  std::stable_sort(all.begin(), all.end(),
                   [](auto a, auto b) { return a.probability > b.probability; });
  if (how.top_k > 0 && how.top_k < all.size()) all.resize(how.top_k);
  double total = 0, reached = 0, kept_total = 0;
  for (const auto& t : all) total += t.probability;
  std::vector<token_probability> kept;
  for (const auto& t : all) {
    if (!kept.empty() && how.top_p < 1 && reached >= (how.top_p - 1e-6) * total) break;
    reached += t.probability;
    if (t.probability >= how.min_p && t.probability > 0) kept.push_back(t);
  }
  for (const auto& t : kept) kept_total += t.probability;
  for (auto& t : kept) t.probability = static_cast<float>(t.probability / kept_total);
  std::sort(kept.begin(), kept.end(), [](auto a, auto b) { return a.token < b.token; });
  return kept;
}

}  // namespace

TEST_CASE("published values on four tokens") {
  check(distribution({.temperature = 1, .top_p = 0.7f}, four), {2, 3}, {.428571, .571429});
  check(distribution({.temperature = 1, .top_k = 3}, four), {1, 2, 3}, {.222222, .333333, .444444});
  check(distribution({.temperature = 1}, four), {0, 1, 2, 3}, {.1, .2, .3, .4});
  check(distribution({.temperature = 0}, four), {3}, {1});
  check(distribution({.temperature = 1, .min_p = 0.26f}, four), {1, 2, 3},
        {.222222, .333333, .444444});
}

TEST_CASE("temperature is applied first, and each cut to what the one before left") {
  const double sharp = .01 + .04 + .09 + .16;
  check(distribution({.temperature = 0.5f}, four), {0, 1, 2, 3},
        {.01 / sharp, .04 / sharp, .09 / sharp, .16 / sharp});
  // Of {.4, .3} the first alone has .571 and so reaches .5; of all four it does not.
  check(distribution({.temperature = 1, .top_k = 2, .top_p = 0.5f}, four), {3}, {1});
  check(distribution({.temperature = 1, .top_p = 0.5f}, four), {2, 3}, {.428571, .571429});
  // min-p is a part of the largest, so at temperature 0.5 of the square.
  check(distribution({.temperature = 0.5f, .min_p = 0.26f}, four), {2, 3}, {.36, .64});
}

TEST_CASE("published values on five logits") {
  const std::vector<float> five = {2, 1, .5f, 0, -1};
  const auto expect = [&](const sampling& how, const std::vector<token_id>& tokens,
                          const std::vector<double>& probabilities) {
    const auto found = distribution(how, five);
    REQUIRE(found.size() == tokens.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].token == tokens[i]);
      if (!probabilities.empty())
        CHECK(std::fabs(found[i].probability - probabilities[i]) < 0.51e-4);  // four places
    }
  };
  expect({.temperature = 1}, {0, 1, 2, 3, 4}, {.5630, .2071, .1256, .0762, .0280});
  expect({.temperature = .7f}, {0, 1, 2, 3, 4}, {.7002, .1678, .0821, .0402, .0096});
  expect({.temperature = 1.5f}, {0, 1, 2, 3, 4}, {.4386, .2252, .1613, .1156, .0594});
  expect({.temperature = 1, .top_p = .8f}, {0, 1, 2}, {});
  expect({.temperature = .7f, .top_p = .8f}, {0, 1}, {});
  expect({.temperature = 1.5f, .top_p = .8f}, {0, 1, 2}, {});
  // A cut before the temperature would leave {0, 1, 2} in both.
  expect({.temperature = 1, .min_p = .2f}, {0, 1, 2}, {});
  expect({.temperature = 1.5f, .min_p = .2f}, {0, 1, 2, 3}, {});
  expect({.temperature = 1.5f, .top_k = 3}, {0, 1, 2}, {.5315, .2729, .1955});
  // Of these three the first two have .8044; of all five they have .6638.
  expect({.temperature = 1.5f, .top_k = 3, .top_p = .8f}, {0, 1}, {.6608, .3392});
}

TEST_CASE("on ties the lower id is the more probable") {
  const std::vector<float> flat(50, 1.5f);
  CHECK(distribution({.temperature = 0}, flat)[0].token == 0);
  check(distribution({.temperature = 1, .top_k = 3}, flat), {0, 1, 2}, {1 / 3., 1 / 3., 1 / 3.});
  check(distribution({.temperature = 1, .top_p = 0.08f}, flat), {0, 1, 2, 3}, {.25, .25, .25, .25});
  check(distribution({.temperature = 1, .top_p = 1e-9f}, flat), {0}, {1});
}

TEST_CASE("every mixture of options gives what a full sort gives") {
  for (const std::size_t vocab : {1u, 2u, 7u, 64u, 1000u, 32000u})
    for (const float spread : {0.0f, 1.0f, 8.0f, 60.0f}) {
      const auto logits = weir_test::random_floats(vocab, vocab + 3, spread);
      for (const float temperature : {0.3f, 1.0f, 2.0f})
        for (const std::size_t top_k : {0u, 1u, 5u, 40u, 2000u})
          for (const float top_p : {1e-8f, 0.3f, 0.9f, 0.999f, 1.0f})
            for (const float min_p : {0.0f, 0.05f, 0.9f}) {
              const sampling how{temperature, top_k, top_p, min_p};
              const auto found = distribution(how, logits);
              const auto expected = by_sorting(how, logits);
              INFO(vocab << " tokens, spread " << spread << ", T " << temperature << ", k " << top_k
                         << ", p " << top_p << ", min-p " << min_p);
              // A sum that stops within rounding of its target may stop one token apart.
              const auto apart = static_cast<std::ptrdiff_t>(found.size()) -
                                 static_cast<std::ptrdiff_t>(expected.size());
              REQUIRE(std::abs(apart) <= 1);
              if (apart != 0) continue;
              for (std::size_t i = 0; i < found.size(); ++i) {
                REQUIRE(found[i].token == expected[i].token);
                REQUIRE(std::fabs(found[i].probability - expected[i].probability) < 1e-6f);
              }
            }
    }
}

TEST_CASE("draws follow the distribution") {
  const std::vector<double> p = {.05, .2, .3, .4, .05};
  sampler s({.temperature = 1}, p.size());
  const auto logits = logs(p);
  constexpr int draws = 200'000;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    std::vector<int> count(p.size());
    for (int i = 0; i < draws; ++i)
      ++count[static_cast<std::size_t>(
          s(logits, random_source{seed, 7}, static_cast<std::uint64_t>(i)))];
    double chi = 0;
    for (std::size_t t = 0; t < p.size(); ++t) {
      const double expected = p[t] * draws;
      chi += (count[t] - expected) * (count[t] - expected) / expected;
      CHECK(std::fabs(count[t] / double{draws} - p[t]) <= 0.01);
    }
    CHECK(chi < 23.5);  // 4 degrees of freedom, one in ten thousand
  }
}

TEST_CASE("tokens that a cut removed are never drawn") {
  sampler s({.temperature = 1, .top_p = 0.7f}, 4);
  for (std::uint64_t i = 0; i < 5000; ++i) CHECK(s(four, random_source{9, 9}, i) >= 2);
}

TEST_CASE("a draw depends on its index alone, not on the draws before it") {
  const auto logits = weir_test::random_floats(500, 4, 2.0f);
  sampler first({.temperature = 1}, 500), second({.temperature = 1}, 500);
  const random_source random{42, 5};
  std::vector<token_id> rising, falling;
  for (std::uint64_t i = 0; i < 200; ++i) rising.push_back(first(logits, random, i));
  for (std::uint64_t i = 200; i-- > 0;) falling.push_back(second(logits, random, i));
  std::reverse(falling.begin(), falling.end());
  CHECK(rising == falling);
  CHECK(rising != std::vector<token_id>(200, rising[0]));

  std::vector<token_id> other_stream, other_seed;
  for (std::uint64_t i = 0; i < 200; ++i) {
    other_stream.push_back(first(logits, random_source{42, 6}, i));
    other_seed.push_back(first(logits, random_source{43, 5}, i));
  }
  CHECK(other_stream != rising);
  CHECK(other_seed != rising);
}

TEST_CASE("logits that are not finite have a defined meaning") {
  for (const float temperature : {0.0f, 1.0f}) {
    const sampling how{.temperature = temperature, .top_k = 3, .top_p = 0.9f};
    CHECK_THROWS_AS(distribution(how, std::vector<float>(4, not_a_number)),
                    weir::error::not_finite);
    CHECK_THROWS_AS(distribution(how, std::vector<float>(40, -infinity)), weir::error::not_finite);
    check(distribution(how, {not_a_number, -infinity, not_a_number, 0.5f}), {3}, {1});
    check(distribution(how, {not_a_number, 1e30f, infinity, 0.5f}), {2}, {1});
  }
  check(distribution({.temperature = 1}, {not_a_number, infinity, 3, infinity}), {1, 3}, {.5, .5});
  check(distribution({.temperature = 0}, {not_a_number, infinity, 3, infinity}), {1}, {1});
  check(distribution({.temperature = 1e-38f}, {0, 1, 1, -3e38f}), {1, 2}, {.5, .5});
  // One NaN in every place of a register.
  for (std::size_t i = 0; i < 40; ++i) {
    std::vector<float> logits(40, 1.0f);
    logits[i] = not_a_number;
    const auto found = distribution({.temperature = 1}, logits);
    CHECK(found.size() == 39);
    CHECK(std::none_of(found.begin(), found.end(),
                       [&](auto t) { return t.token == static_cast<token_id>(i); }));
  }
}

TEST_CASE("the ends of the unit interval draw tokens of the distribution") {
  const std::vector<token_probability> tokens = {{3, 0.25f}, {8, 0.5f}, {9, 0.25f}};
  CHECK(sampler::draw(tokens, 0) == 3);
  CHECK(sampler::draw(tokens, 0.2499999) == 3);
  CHECK(sampler::draw(tokens, 0.25) == 8);
  CHECK(sampler::draw(tokens, 0.75) == 9);
  CHECK(sampler::draw(tokens, std::nextafter(1.0, 0.0)) == 9);
  CHECK(sampler::draw(tokens, 1.0) == 9);
}

TEST_CASE("options out of range are refused") {
  const auto refused = [](const sampling& how) {
    CHECK_THROWS_AS(sampler(how, 4), weir::error::bad_config);
  };
  for (const float bad : {not_a_number, -1.0f, infinity}) refused({.temperature = bad});
  for (const float bad : {not_a_number, -0.1f, 0.0f, 1.1f}) refused({.top_p = bad});
  for (const float bad : {not_a_number, -0.1f, 1.0f}) refused({.min_p = bad});
  CHECK_THROWS_AS(sampler({}, 0), weir::error::bad_config);
  sampler s({}, 4);
  CHECK_THROWS_AS(s.distribution(std::vector<float>(3)), weir::error::bad_input);
}

TEST_CASE("a sampler holds what it announced and allocates nothing while it draws") {
  const auto logits = weir_test::random_floats(3000, 4, 6.0f);
  for (const sampling how :
       {sampling{}, sampling{.top_k = 40}, sampling{.top_p = 0.9f}, sampling{.temperature = 0}}) {
    sampler s(how, logits.size());
    CHECK(s.bytes() == sampler::required_bytes(logits.size()));
    const std::size_t before = weir_test::allocation_count();
    for (std::uint64_t i = 0; i < 50; ++i) s(logits, random_source{1, 1}, i);
    const std::size_t after = weir_test::allocation_count();
    CHECK(after == before);
  }
}
