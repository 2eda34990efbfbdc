#include <weir/sampling/sampler.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

using weir::draw_gumbel;
using weir::draw_rule;
using weir::random_source;
using weir::sampler;
using weir::sampling;
using weir::token_id;
using weir::token_probability;

namespace {

std::vector<token_probability> distribution_of(const std::vector<float>& logits,
                                               sampling how = {}) {
  sampler s(how, logits.size());
  const auto tokens = s.distribution(logits);
  return {tokens.begin(), tokens.end()};
}

double chi_square(const std::vector<int>& count, const std::vector<token_probability>& distribution,
                  int draws) {
  double chi = 0;
  for (std::size_t i = 0; i < distribution.size(); ++i) {
    const double expected = double{distribution[i].probability} * draws;
    chi += (count[i] - expected) * (count[i] - expected) / expected;
  }
  return chi;
}

/// Below this, one in a thousand exceeds (Wilson & Hilferty).
double chi_square_at_one_in_a_thousand(std::size_t degrees) {
  const double n = static_cast<double>(degrees), a = 2 / (9 * n);
  return n * std::pow(1 - a + 3.0902 * std::sqrt(a), 3);
}

/// Draws at indices 0, 1, … and compares with the distribution.
void check_draws(sampler& s, const std::vector<float>& logits,
                 const std::vector<token_probability>& distribution) {
  constexpr int draws = 100'000;
  for (const std::uint64_t seed : {4u, 5u, 6u}) {
    std::vector<int> count(distribution.size());
    for (int i = 0; i < draws; ++i) {
      const token_id id = s(logits, random_source{seed, 7}, static_cast<std::uint64_t>(i));
      const auto at = std::find_if(distribution.begin(), distribution.end(),
                                   [&](auto t) { return t.token == id; });
      REQUIRE(at != distribution.end());
      ++count[static_cast<std::size_t>(at - distribution.begin())];
    }
    CHECK(chi_square(count, distribution, draws) <
          chi_square_at_one_in_a_thousand(distribution.size() - 1));
  }
}

/// Probability that draws with the same noise from both distributions, all of the same tokens,
/// agree.
double agreement(std::span<const token_probability> p, std::span<const token_probability> q) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    double over = 0;
    for (std::size_t j = 0; j < p.size(); ++j)
      over += std::max(double{p[j].probability} / p[i].probability,
                       double{q[j].probability} / q[i].probability);
    sum += 1 / over;
  }
  return sum;
}

}  // namespace

TEST_CASE("draws by Gumbel-max follow the distribution") {
  for (const std::size_t vocab : {2u, 5u, 17u, 60u}) {
    const auto logits = weir_test::random_floats(vocab, vocab, 1.5f);
    sampler s({.temperature = 1, .draw = draw_rule::gumbel}, vocab);
    check_draws(s, logits, distribution_of(logits, {.temperature = 1}));
  }
}

TEST_CASE("draws by Gumbel-max follow the distribution that cuts and penalties leave") {
  const auto logits = weir_test::random_floats(60, 5, 1.5f);
  for (sampling how :
       {sampling{.temperature = 0.8f, .top_p = 0.7f}, sampling{.temperature = 1, .top_k = 9},
        sampling{.temperature = 1, .min_p = 0.3f}}) {
    const auto distribution = distribution_of(logits, how);
    CHECK(distribution.size() < 50);
    how.draw = draw_rule::gumbel;
    sampler s(how, logits.size());
    check_draws(s, logits, distribution);
  }
  sampler s({.temperature = 1, .top_p = 0.8f, .repetition_penalty = 3, .draw = draw_rule::gumbel},
            logits.size());
  for (token_id id = 0; id < 60; id += 2) s.push(id);
  const auto tokens = s.distribution(logits);
  const std::vector<token_probability> distribution(tokens.begin(), tokens.end());
  CHECK(distribution != distribution_of(logits, {.temperature = 1, .top_p = 0.8f}));
  check_draws(s, logits, distribution);
}

TEST_CASE("rare tokens are drawn as often as they should be") {
  const std::vector<token_probability> distribution = {{0, 1 - 0x1p-13f}, {1, 0x1p-13f}};
  constexpr int draws = 4'000'000;
  std::vector<int> count(2);
  for (int i = 0; i < draws; ++i)
    ++count[static_cast<std::size_t>(
        draw_gumbel(distribution, random_source{5, 5}, static_cast<std::uint64_t>(i)))];
  CHECK(chi_square(count, distribution, draws) < 10.83);
}

TEST_CASE("the draw is where log p + G is largest, whatever the tokens beside it") {
  const auto logits = weir_test::random_floats(77, 3, 4.0f);
  const auto distribution = distribution_of(logits, {.temperature = 1});
  const random_source random{11, 12};
  for (std::uint64_t i = 0; i < 2000; ++i) {
    // The noise as it is defined, token by token.
    const std::uint64_t key = random.bits(weir::purpose::sampling, i, 1);
    std::vector<double> noisy;
    for (const token_probability& t : distribution) {
      const auto block =
          weir::philox({static_cast<std::uint32_t>(t.token), 0, 0, 0},
                       {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
      const std::uint64_t bits = std::uint64_t{block[1]} << 32 | block[0];
      const double u = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
      noisy.push_back(std::log(double{t.probability}) - std::log(-std::log(u)));
    }
    const auto best = std::max_element(noisy.begin(), noisy.end()) - noisy.begin();
    const token_id drawn = draw_gumbel(distribution, random, i);
    REQUIRE(drawn == distribution[static_cast<std::size_t>(best)].token);

    // Without some of the tokens that lost, the same one wins.
    std::vector<token_probability> fewer;
    for (const token_probability& t : distribution)
      if (t.token == drawn || random.bits(weir::purpose::scoring, i) >> (t.token % 64) & 1)
        fewer.push_back(t);
    REQUIRE(draw_gumbel(fewer, random, i) == drawn);
  }
}

TEST_CASE("distributions that are equal draw the same tokens") {
  const auto logits = weir_test::random_floats(500, 4, 2.0f);
  auto doubled = logits;  // exactly, so that the distribution has the same bits
  for (float& x : doubled) x *= 2;
  sampler s({.temperature = 1, .draw = draw_rule::gumbel}, 500);
  sampler other({.temperature = 2, .draw = draw_rule::gumbel}, 500);
  for (std::uint64_t i = 0; i < 2000; ++i)
    REQUIRE(s(logits, random_source{1, 2}, i) == other(doubled, random_source{1, 2}, i));
}

TEST_CASE("with shared randomness two distributions agree as often as theory says") {
  constexpr int draws = 100'000;
  for (const std::size_t vocab : {4u, 30u, 200u})
    for (const float apart : {0.2f, 1.0f, 3.0f}) {
      const auto logits = weir_test::random_floats(vocab, 4, 3.0f);
      auto others = weir_test::random_floats(vocab, 5, apart);
      for (std::size_t i = 0; i < vocab; ++i) others[i] += logits[i];
      const auto p = distribution_of(logits, {.temperature = 1});
      const auto q = distribution_of(others, {.temperature = 1});
      REQUIRE(p.size() == q.size());
      double d = 0, by_chance = 0;
      for (std::size_t i = 0; i < vocab; ++i) {
        d += std::max(0.0, double{p[i].probability} - q[i].probability);
        by_chance += double{p[i].probability} * q[i].probability;
      }
      int same = 0, same_apart = 0, same_by_number = 0;
      for (std::uint64_t i = 0; i < draws; ++i) {
        const random_source random{8, vocab}, other{9, vocab};
        const token_id drawn = draw_gumbel(p, random, i);
        same += drawn == draw_gumbel(q, random, i);
        same_apart += drawn == draw_gumbel(q, other, i);
        const double u = random.uniform(weir::purpose::sampling, i);
        same_by_number += sampler::draw(p, u) == sampler::draw(q, u);
      }
      const double found = same / double{draws};
      const double theory = agreement(p, q), least = (1 - d) / (1 + d);
      const double deviation = std::sqrt(theory * (1 - theory) / draws);
      INFO(vocab << " tokens, total variation " << d << ": same " << found << ", theory " << theory
                 << ", at least " << least << ", independent " << same_apart / double{draws}
                 << " (theory " << by_chance << "), one shared number "
                 << same_by_number / double{draws});
      CHECK(theory >= least);
      CHECK(std::fabs(found - theory) < 4 * deviation);
      CHECK(found > least - 4 * deviation);
      CHECK(found < 1 - d + 4 * deviation);
      CHECK(std::fabs(same_apart / double{draws} - by_chance) <
            4 * std::sqrt(by_chance * (1 - by_chance) / draws));
      CHECK(found > by_chance + 0.1);
    }
}

TEST_CASE("the noise differs between indices, streams, seeds and rules") {
  const std::vector<float> flat(64, 1.0f);
  const sampling how{.temperature = 1, .draw = draw_rule::gumbel};
  sampler s(how, 64), plain({.temperature = 1}, 64);
  const auto drawn = [&](sampler& from, random_source random, std::uint64_t first) {
    std::vector<token_id> ids;
    for (std::uint64_t i = 0; i < 200; ++i) ids.push_back(from(flat, random, first + i));
    return ids;
  };
  const auto ids = drawn(s, {42, 5}, 0);
  CHECK(ids == drawn(s, {42, 5}, 0));
  const auto agrees = [&](const std::vector<token_id>& others) {
    int same = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) same += ids[i] == others[i];
    return same;
  };
  // One in 64 by chance.
  CHECK(agrees(drawn(s, {42, 6}, 0)) < 15);
  CHECK(agrees(drawn(s, {43, 5}, 0)) < 15);
  CHECK(agrees(drawn(s, {42, 5}, 1)) < 15);
  CHECK(agrees(drawn(plain, {42, 5}, 0)) < 15);
}

TEST_CASE("the logarithm of the noise is exact to two units in the last place") {
  const auto check = [](double u) {
    const auto exact = static_cast<double>(-std::log(static_cast<long double>(u)));
    REQUIRE(std::fabs(-weir::elementary::log(u) - exact) <=
            2 * std::numeric_limits<double>::epsilon() * exact);
  };
  for (int e = 1; e <= 53; ++e)
    for (const double u : {std::ldexp(1.0, -e), 1 - std::ldexp(1.0, -e)}) check(u);
  for (const double u : {std::sqrt(0.5), std::nextafter(std::sqrt(0.5), 0.0), 0.9999, 0.7072})
    check(u);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const double u = random_source{3, 3}.uniform(weir::purpose::scoring, i) + 0x1p-54;
    check(u);
    check(u * 0x1p-20);
  }
}

TEST_CASE("draws by Gumbel-max take weights that are 0 or do not add up to 1") {
  const std::vector<token_probability> distribution = {
      {2, 0.0f}, {5, 0.125f}, {9, 0.0f}, {11, 0.125f}};
  const std::vector<token_probability> whole = {{5, 0.5f}, {11, 0.5f}};
  for (std::uint64_t i = 0; i < 2000; ++i)
    REQUIRE(draw_gumbel(distribution, random_source{1, 1}, i) ==
            draw_gumbel(whole, random_source{1, 1}, i));
}

TEST_CASE("the lowest temperature and one token alone need no noise") {
  const auto logits = weir_test::random_floats(300, 4, 2.0f);
  const auto best =
      static_cast<token_id>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (const sampling how : {sampling{.temperature = 0, .draw = draw_rule::gumbel},
                             sampling{.top_k = 1, .draw = draw_rule::gumbel}}) {
    sampler s(how, logits.size());
    for (std::uint64_t i = 0; i < 50; ++i) CHECK(s(logits, random_source{1, 1}, i) == best);
  }
}

TEST_CASE("a rule that does not exist is refused") {
  weir_test::require_refused<weir::error::bad_config>(
      [] { sampler({.draw = static_cast<draw_rule>(7)}, 4); }, {"draw: 7", "expected"});
}

TEST_CASE("draws by Gumbel-max allocate nothing") {
  const auto logits = weir_test::random_floats(3000, 4, 6.0f);
  for (const sampling how :
       {sampling{.draw = draw_rule::gumbel}, sampling{.top_p = 0.9f, .draw = draw_rule::gumbel}}) {
    sampler s(how, logits.size());
    CHECK(s.bytes() == sampler::required_bytes(logits.size()));
    const std::size_t before = weir_test::allocation_count();
    for (std::uint64_t i = 0; i < 50; ++i) s(logits, random_source{1, 1}, i);
    const std::size_t after = weir_test::allocation_count();
    CHECK(after == before);
  }
}
