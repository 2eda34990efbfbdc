// Options, logits and histories of any kind: a typed error, or a distribution over tokens of the
// vocabulary.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/sampling/sampler.hpp>

#include "fuzz/fuzz_input.hpp"

namespace {

using namespace weir_fuzz;
using weir::sampler, weir::sampling, weir::token_id, weir::token_probability;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float none = std::numeric_limits<float>::quiet_NaN();

/// One of the numbers that matter, or any number at all.
float any_number(fuzz_input& in, float usual) {
  constexpr float special[] = {0,     -0.0f,  1,      -1,     0.5f,      0.1f,
                               1e-6f, 1e6f,   3e38f,  -3e38f, infinity,  -infinity,
                               none,  1e-38f, 1e-45f, 0.9f,   0.999999f, 20};
  switch (in.within(0, 3)) {
    case 0:
      return usual;
    case 1:
      return in.pick(special);
    case 2:
      return static_cast<float>(in.number<std::int8_t>()) / 8;
    default:
      return in.number<float>();
  }
}

sampling any_options(fuzz_input& in) {
  sampling s;
  s.temperature = any_number(in, s.temperature);
  s.top_k = in.one_in(3) ? in.within(0, 9) : 0;
  s.top_p = any_number(in, s.top_p);
  s.min_p = any_number(in, s.min_p);
  s.repetition_penalty = any_number(in, s.repetition_penalty);
  s.presence_penalty = any_number(in, s.presence_penalty);
  s.frequency_penalty = any_number(in, s.frequency_penalty);
  s.repeat_last = in.within(0, 9);
  s.draw = static_cast<weir::draw_rule>(in.within(0, 8) % 3);
  return s;
}

bool is_valid(const sampling& s) {
  return std::isfinite(s.temperature) && s.temperature >= 0 && s.top_p > 0 && s.top_p <= 1 &&
         s.min_p >= 0 && s.min_p < 1 && std::isfinite(s.repetition_penalty) &&
         s.repetition_penalty > 0 && std::isfinite(s.presence_penalty) &&
         std::isfinite(s.frequency_penalty) && s.repeat_last > 0 &&
         (s.draw == weir::draw_rule::inverse_cdf || s.draw == weir::draw_rule::gumbel);
}

/// Logits as penalties change them, from the whole history.
std::vector<float> penalized(std::vector<float> logits, const std::vector<token_id>& history,
                             const sampling& s) {
  const std::size_t n = std::min(history.size(), s.repeat_last);
  const std::vector<float> plain = logits;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const auto times =
        std::count(history.end() - static_cast<std::ptrdiff_t>(n), history.end(), token_id(i));
    if (times == 0) continue;
    logits[i] = (plain[i] > 0 ? plain[i] / s.repetition_penalty : plain[i] * s.repetition_penalty) -
                s.presence_penalty;
    if (s.frequency_penalty != 0)
      for (auto t = times; t > 0; --t) logits[i] -= s.frequency_penalty;
  }
  return logits;
}

bool same(std::span<const token_probability> a, std::span<const token_probability> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& l, const auto& r) {
    return l.token == r.token && std::bit_cast<std::uint32_t>(l.probability) ==
                                     std::bit_cast<std::uint32_t>(r.probability);
  });
}

void check_distribution(std::span<const token_probability> distribution,
                        const std::vector<float>& logits, const sampling& s) {
  check(!distribution.empty() && distribution.size() <= logits.size(),
        "a distribution of at least one token");
  if (s.temperature == 0) check(distribution.size() == 1, "greedy: one token");
  if (s.top_k > 0) check(distribution.size() <= s.top_k, "top_k tokens at most");
  float least = infinity, largest = 0;
  double sum = 0;
  std::vector<bool> in_distribution(logits.size());
  for (std::size_t i = 0; i < distribution.size(); ++i) {
    const auto [token, probability] = distribution[i];
    check(token >= 0 && static_cast<std::size_t>(token) < logits.size(), "ids of the vocabulary");
    check(i == 0 || token > distribution[i - 1].token, "ids rise");
    check(probability > 0 && probability <= 1, "probabilities above 0, at most 1");
    const float logit = logits[static_cast<std::size_t>(token)];
    check(logit > -infinity, "tokens of a logit that is no NaN and not -inf");
    least = std::min(least, logit);
    largest = std::max(largest, probability);
    sum += probability;
    in_distribution[static_cast<std::size_t>(token)] = true;
  }
  check(std::abs(sum - 1) < 1e-5, "probabilities add up to 1");
  for (const auto& [token, probability] : distribution)
    check(probability >= s.min_p * largest * (1 - 1e-5f), "min_p");
  // Whoever is left out is no likelier than whoever is not, up to what rounding makes equal.
  const float margin = s.temperature == 0 ? 0 : 1e-5f * s.temperature + 1e-6f * std::abs(least);
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!in_distribution[i] && logits[i] > least)
      check(logits[i] - least <= margin, "the likeliest tokens stay");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz_input in(data, size);
  const sampling options = any_options(in);
  const std::size_t vocabulary = in.within(0, 24), max_taken_back = in.within(0, 5);
  const bool valid = is_valid(options) && vocabulary > 0;

  constexpr std::size_t hostile[] = {0, std::size_t{1} << 31, std::size_t{1} << 63,
                                     ~std::size_t{0}};
  if (in.one_in(16)) {
    check(!succeeds([&] { sampler(options, in.pick(hostile)); }), "a vocabulary out of range");
    check(!succeeds([&] { sampler(options, 5, (std::size_t{1} << 24) + 1); }), "far back");
  }
  // An object that is made once for all options: a sampler holds memory.
  const bool made = succeeds([&] { sampler(options, vocabulary, max_taken_back); });
  check(made == valid, "options in range are taken, others are refused");
  if (!made) return 0;

  sampler s(options, vocabulary, max_taken_back), plain(options.without_penalties(), vocabulary);
  check(s.bytes() == sampler::required_bytes(vocabulary, options, max_taken_back),
        "holds the bytes that were announced");
  const weir::random_source random{in.number<std::uint16_t>(), in.number<std::uint8_t>()};
  std::vector<token_id> history;
  std::size_t revocable = 0;
  std::vector<float> logits(vocabulary);
  for (std::size_t n = in.within(1, 12); n > 0; --n) {
    switch (in.within(0, 7)) {
      case 0:
      case 1:
      case 2: {
        const auto id = static_cast<token_id>(in.number<std::int8_t>() % 32);
        const bool in_vocabulary = id >= 0 && static_cast<std::size_t>(id) < vocabulary;
        const bool pushed = succeeds([&] { s.push(id); });
        if (!options.penalizes()) break;
        check(pushed == in_vocabulary, "ids of the vocabulary are taken, others are refused");
        if (!pushed) break;
        history.push_back(id);
        revocable = std::min(revocable + 1, max_taken_back);
        break;
      }
      case 3: {
        const std::size_t back = in.within(0, 6);
        const bool taken = succeeds([&] { s.take_back(back); });
        if (!options.penalizes()) break;
        check(taken == (back <= revocable), "takes back what was announced, no more");
        if (!taken) break;
        history.resize(history.size() - back);
        revocable -= back;
        break;
      }
      case 4:
        s.reset();
        history.clear();
        revocable = 0;
        break;
      default: {
        const float usual = any_number(in, 0);
        for (float& x : logits) x = any_number(in, usual);
        const std::vector<float> expected =
            options.penalizes() ? penalized(logits, history, options) : logits;
        const bool any =
            std::any_of(expected.begin(), expected.end(), [](float x) { return x > -infinity; });
        std::vector<token_probability> distribution;
        const bool drawn = succeeds([&] {
          const auto tokens = s.distribution(logits);
          distribution.assign(tokens.begin(), tokens.end());
        });
        check(drawn == any, "a distribution wherever some logit is above -inf");
        if (!drawn) break;
        check_distribution(distribution, expected, options);
        check(same(distribution, plain.distribution(expected)),
              "penalties are those of the history");
        const std::uint64_t index = in.number<std::uint8_t>();
        const token_id token = s(logits, random, index);
        const auto is_token = [&](const token_probability& t) { return t.token == token; };
        check(std::any_of(distribution.begin(), distribution.end(), is_token),
              "draws a token of the distribution");
        check(s.draw(distribution, random, index) == token, "draws the same again");
        check(sampler::draw(distribution, 0.0) == distribution.front().token,
              "draws the first at 0");
        const token_id last = sampler::draw(distribution, std::nextafter(1.0, 0.0));
        check(last >= distribution.front().token && last <= distribution.back().token,
              "draws one just below 1");
      }
    }
  }
  check(!succeeds([&] { s.distribution(std::span(logits).first(vocabulary - 1)); }),
        "logits of another size are refused");
  return 0;
}
