// When cautious prediction tries, how often, and what it takes.
#include <weir/sampling/cautious.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include <weir/model/load_model.hpp>

#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;

std::vector<token_probability> distribution_of(const std::vector<float>& p) {
  std::vector<token_probability> distribution;
  for (std::size_t i = 0; i < p.size(); ++i)
    distribution.push_back({static_cast<token_id>(3 * i), p[i]});
  return distribution;
}

trial_score score_of(const std::vector<double>& p) {
  trial_score s;
  for (const double x : p) s.add(x);
  return s;
}

}  // namespace

TEST_CASE("trials by entropy: worked numbers") {
  const cautious how;
  CHECK(how.trials(0) == 1);
  CHECK(how.trials(.01) == 1);
  CHECK(how.trials(.2) == 2);
  CHECK(how.trials(.9) == 6);  // 6.376
  CHECK(how.trials(1.5) == 10);
  CHECK(how.trials(3) == 10);
  CHECK(cautious{.most = 1}.trials(9) == 1);
  CHECK(cautious{.least = 4, .most = 4}.trials(0) == 4);
  CHECK(cautious{.least = 2, .most = 6, .low = 0, .high = 1}.trials(.5) == 4);
}

TEST_CASE("perplexities: worked numbers, and the second of three trials is the surest") {
  const trial_score a = score_of({.5, .4, .9}), b = score_of({.3, .95, .95, .95}),
                    c = score_of({.6, .5});
  CHECK(a.perplexity() == Approx(1.7711).epsilon(1e-4));
  CHECK(b.perplexity() == Approx(1.4042).epsilon(1e-4));
  CHECK(c.perplexity() == Approx(1.8257).epsilon(1e-4));
  CHECK(b.mean() < a.mean());
  CHECK(a.mean() < c.mean());
  CHECK(score_of({1, 1}).perplexity() == 1);
}

TEST_CASE("entropy is that of the distribution") {
  CHECK(entropy(distribution_of({1})) == 0);
  CHECK(entropy(distribution_of({.5f, .5f})) == Approx(std::log(2.0)));
  CHECK(entropy(distribution_of(std::vector<float>(64, 1.0f / 64))) == Approx(std::log(64.0)));
  CHECK(entropy(distribution_of({.25f, .75f})) == Approx(.5623351446));
  // The smallest probability there is: no NaN comes of it.
  CHECK(std::isfinite(entropy(distribution_of({1, std::numeric_limits<float>::denorm_min()}))));
}

TEST_CASE("a token's probability is looked up by its id") {
  const auto distribution = distribution_of({.25f, .5f, .25f});  // ids 0, 3, 6
  CHECK(probability_of(distribution, 3) == .5);
  CHECK(probability_of(distribution, 6) == .25);
  CHECK(probability_of(distribution, 4) == 0);
  CHECK(probability_of(distribution, 7) == 0);
}

TEST_CASE("settings out of range are refused") {
  using weir_test::require_refused;
  const auto refused = [](const cautious& how, std::initializer_list<std::string_view> parts) {
    require_refused<error::bad_config>([&] { how.validate(); }, parts);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused({.least = 0}, {"0 to 10 trials", "1 <= least <= most <= 64"});
  refused({.least = 3, .most = 2}, {"3 to 2 trials"});
  refused({.most = 65}, {"1 to 65 trials"});
  refused({.low = 2}, {"entropies of 2 to 1.5", "low < high"});
  refused({.low = -1}, {"entropies of -1"});
  refused({.high = nan}, {"entropies of 0.01 to nan"});
  refused({.longest = 0}, {"cautious.longest: 0", "1 to 4096"});
  refused({.longest = 4097}, {"cautious.longest: 4097"});
  cautious{}.validate();
  cautious{.least = 64, .most = 64, .low = 0, .longest = 4096, .marks = ""}.validate();
}

TEST_CASE("what ends a trial is text that ends with a mark") {
  const std::string marks = cautious{}.marks;
  for (const char* text : {".", " ,", "word.", "\n", "\n  ", "?!", "...", "{}", ") ", "a:"})
    CHECK(ends_with_mark(text, marks));
  for (const char* text : {"", " ", "word", ".5", ", and", "(", "'", "\xEF\xBC\x8C"})
    CHECK_FALSE(ends_with_mark(text, marks));
  CHECK_FALSE(ends_with_mark(".", ""));
}

TEST_CASE("the tokens that end a trial are found in a vocabulary") {
  const llama_model model = load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  const tokenizer& t = model.tokenizer;
  const auto ends = tokens_that_end(t, cautious{}.marks);
  REQUIRE(ends.size() == t.vocab_size());
  std::size_t found = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto id = static_cast<token_id>(i);
    found += ends[i];
    if (t.kind(id) == token_kind::control || t.kind(id) == token_kind::unknown) CHECK(ends[i] == 0);
    if (ends[i] != 0) CHECK(ends_with_mark(t.piece(id), cautious{}.marks));
  }
  CHECK(found >= 5);
  CHECK(found < ends.size() / 4);
  for (const char* text : {"a.", "a,", "a\n", "a?"})
    CHECK(ends[static_cast<std::size_t>(t.encode(text, false).back())] == 1);
  CHECK(ends[static_cast<std::size_t>(t.encode("a", false).back())] == 0);
}
