#include <weir/speculation/drafters/adaptive_length.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>

#include "speculation/drafter_checks.hpp"
#include "support/refusal.hpp"

using weir::acceptance_rate, weir::adaptive_length, weir::best_draft_length, weir::confident_prefix,
    weir::pass_times;
using weir_test::ids;

namespace {

using pass = std::function<double(std::size_t)>;

/// Tokens a second, relative to none drafted.
double speedup(double acceptance, double each, const pass& t, std::size_t g) {
  const double tokens = (1 - std::pow(acceptance, static_cast<double>(g + 1))) / (1 - acceptance);
  return tokens / (each * static_cast<double>(g) + t(g + 1)) * t(1);
}

struct published {
  double acceptance;
  std::size_t length;
  double speedup;
};

void check_published(double each, const pass& t, const std::vector<published>& all) {
  for (const auto& p : all) {
    CAPTURE(p.acceptance);
    CHECK(best_draft_length(p.acceptance, each, t, 40) == p.length);
    CHECK(speedup(p.acceptance, each, t, p.length) == Approx(p.speedup).margin(.0006));
  }
}

/// Drafts token 1 over and over; deep trees have a second branch.
struct ones {
  std::size_t tokens = 12, width = 1;
  static constexpr weir::sibling_kind siblings = weir::sibling_kind::point_mass;
  weir::draft_limits limits() const {
    return {.nodes = tokens * width, .depth = tokens, .width = width};
  }
  struct state {
    state(const ones&, const weir::draft_setup&) {}
    static std::size_t required_bytes(const ones&, const weir::draft_setup&) { return 0; }
    void append(std::span<const weir::token_id>) {}
    void propose(const weir::draft_request&, weir::draft_tree& tree) {
      weir::draft_tree::node at = 0, other = 0;
      while (tree.has_room(at)) {
        at = tree.add(1, at);
        if (tree.has_room(other)) other = tree.add(2, other);
      }
    }
    void reset() {}
  };
};

/// Rounds of a stream whose passes take what `t` says, and which goes on with a 1 with probability
/// `acceptance`. Others in the pass bring `others` rows for each of its own.
struct simulation {
  adaptive_length<ones> drafter = {};
  adaptive_length<ones>::state state{drafter, {}};
  weir::draft_tree tree{drafter.limits()};
  pass t;
  double acceptance = .8, each = 0, others = 0;
  std::uint64_t round = 0, drawn = 0;
  std::size_t tokens = 0;
  double seconds = 0;

  std::size_t run() {
    tree.start(0, drafter.limits());
    state.propose({.round = round++}, tree);
    const std::size_t depth = tree.deepest();
    std::size_t accepted = 0;
    while (accepted < depth &&
           weir::random_source{5}.uniform(weir::purpose::sampling, drawn++) < acceptance)
      ++accepted;
    const auto rows = static_cast<std::size_t>(static_cast<double>(tree.size()) * (1 + others));
    const double draft = each * static_cast<double>(depth);
    state.learn({tree.drafts(), depth, accepted, draft, t(rows), rows});
    tokens += accepted + 1;
    seconds += draft + t(rows);
    return depth;
  }
  /// The length that most rounds had.
  std::size_t usual(std::size_t rounds) {
    std::vector<std::size_t> seen(64);
    for (std::size_t i = 0; i < rounds; ++i) ++seen[run()];
    return static_cast<std::size_t>(std::max_element(seen.begin(), seen.end()) - seen.begin());
  }
};

}  // namespace

TEST_CASE("the best length is the published one") {
  const auto flat = [](std::size_t) { return 1.; };
  check_published(
      .05, flat, {{.5, 3, 1.630}, {.6, 4, 1.921}, {.7, 6, 2.353}, {.8, 8, 3.092}, {.9, 13, 4.674}});
  check_published(.2, flat,
                  {{.5, 1, 1.25}, {.6, 2, 1.40}, {.7, 3, 1.583}, {.8, 4, 1.868}, {.9, 7, 2.373}});
  const auto knee = [](std::size_t n) { return std::max(1., static_cast<double>(n) / 8); };
  check_published(.05, knee, {{.6, 4, 1.921}, {.8, 7, 3.082}, {.9, 7, 4.219}});
  const auto slope = [](std::size_t n) { return 1 + .06 * static_cast<double>(n - 1); };
  check_published(0, slope, {{.6, 4, 1.859}, {.8, 7, 2.930}, {.9, 12, 4.336}});
}

TEST_CASE("no drafts are among the choices, and limits hold") {
  const auto flat = [](std::size_t) { return 1.; };
  const auto steep = [](std::size_t n) { return static_cast<double>(n); };
  CHECK(best_draft_length(.9, 0, steep, 40) == 0);
  CHECK(best_draft_length(.5, .6, flat, 40) == 0);
  CHECK(best_draft_length(0, 0, flat, 40) == 0);
  CHECK(best_draft_length(.9, 0, flat, 5) == 5);
  CHECK(best_draft_length(.9, 0, flat, 0) == 0);
  // What lies behind a steep step may still be worth it.
  const auto step = [](std::size_t n) { return n == 1 ? 1. : 1.95; };
  CHECK(speedup(.9, 0, step, 1) < 1);
  CHECK(best_draft_length(.9, 0, step, 12) == 12);
}

TEST_CASE("a draft is cut where it is not sure enough") {
  const std::array<float, 4> confidence{.95f, .9f, .6f, .8f};  // products .95 .855 .513 .4104
  CHECK(confident_prefix(confidence, .5) == 3);
  CHECK(confident_prefix(confidence, .52) == 2);
  CHECK(confident_prefix(confidence, .4) == 4);
  CHECK(confident_prefix(confidence, .96) == 0);
  CHECK(confident_prefix(confidence, 0) == 4);
  CHECK(confident_prefix({}, .5) == 0);
  // Expected: 2.318 drafts of 2.7284.
  double product = 1, kept = 0, all = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    product *= static_cast<double>(confidence[i]);
    all += product;
    if (i < confident_prefix(confidence, .5)) kept += product;
  }
  CHECK(kept == Approx(2.318));
  CHECK(all == Approx(2.7284));
}

TEST_CASE("acceptance is a mean of what was decided lately") {
  acceptance_rate rate(64);
  CHECK(rate.rate() == .5);
  rate.learn(3, true);  // 3 of 4
  CHECK(rate.rate() == Approx(4. / 6).epsilon(.02));
  rate.learn(0, false);  // nothing decided
  CHECK(rate.rate() == Approx(4. / 6).epsilon(.02));
  for (int i = 0; i < 1000; ++i) rate.learn(3, true);
  CHECK(rate.rate() == Approx(.74).margin(.02));
  for (int i = 0; i < 1000; ++i) rate.learn(8, false);
  CHECK((rate.rate() > .97 && rate.rate() < 1));
  for (int i = 0; i < 64; ++i) rate.learn(0, true);
  CHECK((rate.rate() > .3 && rate.rate() < .4));  // 1/e
  rate.reset();
  CHECK(rate.rate() == .5);
}

TEST_CASE("times of passes rise with their rows") {
  pass_times times(16);
  CHECK_FALSE(times.known());
  times.learn(17, 1);
  times.learn(0, 1);
  CHECK_FALSE(times.known());
  times.learn(4, 2);
  CHECK(times.known());
  for (const double n : {1., 4., 9.}) CHECK(times(n) == 2);
  times.learn(8, 4);
  CHECK(times(6) == 3);
  CHECK(times(5.5) == 2.75);
  CHECK(times(12) == 6);
  CHECK(times(2) == 2);
  // One that sinks is pooled with those before it.
  times.learn(12, 3);
  CHECK(times(8) == 3.5);
  CHECK(times(12) == 3.5);
  CHECK(times(10) == 3.5);
  CHECK(times(6) == 2.75);
  times.learn(16, 1);  // 4, 3, 1 are pooled
  CHECK(times(9) == Approx(8. / 3));
  CHECK(times(4) == 2);
  // Nothing counts for more than twice the mean: 4 rows take (2 + 4) / 2 by now, and weigh twice.
  times.learn(4, 100);
  CHECK(times(4) == Approx((2 * 3 + 4 + 3 + 1) / 5.));
  times.reset();
  CHECK_FALSE(times.known());
}

TEST_CASE("pooled times are the rising ones nearest to the measured") {
  // Against the definition: the largest, over starts up to here, of the least mean from there on.
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::size_t n = 12;
    pass_times times(n);
    std::array<double, 12> measured{};
    for (std::size_t i = 0; i < n; ++i) {
      measured[i] = weir::random_source{seed}.uniform(weir::purpose::sampling, i) + .1;
      times.learn(i + 1, measured[i]);
    }
    for (std::size_t i = 0; i < n; ++i) {
      double level = 0;
      for (std::size_t from = 0; from <= i; ++from) {
        double least = 1e9;
        for (std::size_t to = i; to < n; ++to) {
          double sum = 0;
          for (std::size_t k = from; k <= to; ++k) sum += measured[k];
          least = std::min(least, sum / static_cast<double>(to - from + 1));
        }
        level = std::max(level, least);
      }
      CAPTURE(seed, i);
      CHECK(times(static_cast<double>(i + 1)) == Approx(level));
    }
  }
}

TEST_CASE("the length settles where it pays most") {
  const auto slope = [](std::size_t n) { return 1 + .06 * static_cast<double>(n - 1); };
  for (const double acceptance : {.3, .6, .8, .9}) {
    simulation s{.t = slope, .acceptance = acceptance};
    s.usual(100);
    const std::size_t usual = s.usual(400);
    const std::size_t best = best_draft_length(acceptance, 0, slope, 12);
    CAPTURE(acceptance, best);
    CHECK(speedup(acceptance, 0, slope, usual) > .97 * speedup(acceptance, 0, slope, best));
    s.tokens = 0, s.seconds = 0;
    for (int i = 0; i < 2000; ++i) s.run();
    CHECK(static_cast<double>(s.tokens) / s.seconds > .95 * speedup(acceptance, 0, slope, best));
  }
  // Drafting that costs as much as a pass of one row never pays.
  simulation s{.t = [](std::size_t) { return 1.; }, .acceptance = .9, .each = 1};
  s.usual(100);
  CHECK(s.usual(100) == 0);
  // A knee: up to 8 rows.
  simulation knee{.t = [](std::size_t n) { return std::max(1., static_cast<double>(n) / 8); },
                  .acceptance = .9,
                  .each = .05};
  knee.usual(100);
  CHECK(knee.usual(200) == 7);
}

TEST_CASE("the first rounds measure") {
  simulation s{.t = [](std::size_t n) { return static_cast<double>(n); }};
  std::vector<std::size_t> lengths;
  for (int i = 0; i < 12; ++i) lengths.push_back(s.run());
  CHECK(lengths == std::vector<std::size_t>{0, 0, 1, 1, 3, 3, 7, 7, 12, 12, 0, 0});
}

TEST_CASE("drafting that does not pay rests, is tried now and then, and comes back") {
  simulation s{.t = [](std::size_t n) { return 1 + .15 * static_cast<double>(n - 1); },
               .acceptance = 0};
  for (int i = 0; i < 100; ++i) s.run();
  std::vector<std::size_t> lengths;
  for (int i = 0; i < 99; ++i) lengths.push_back(s.run());
  CHECK(std::count(lengths.begin(), lengths.end(), 2u) == 3);
  CHECK(std::count(lengths.begin(), lengths.end(), 0u) == 96);
  // From now on it would pay.
  s.acceptance = 1;
  std::size_t until = 0;
  while (s.run() < 8 && until < 200) ++until;
  CHECK(until < 80);
  s.acceptance = 0;
  for (int i = 0; i < 80; ++i) s.run();
  CHECK(s.usual(60) == 0);
}

TEST_CASE("in a shared pass a draft is as many rows as there are streams") {
  const auto t = [](std::size_t n) { return 1 + .06 * static_cast<double>(n - 1); };
  simulation alone{.t = t, .acceptance = .8}, one_of_four{.t = t, .acceptance = .8, .others = 3};
  alone.usual(200);
  one_of_four.usual(200);
  const std::size_t best = best_draft_length(
      .8, 0, [&](std::size_t n) { return t(4 * n); }, 12);
  CHECK(best < best_draft_length(.8, 0, t, 12));
  const std::size_t usual = one_of_four.usual(400);
  CHECK(usual <= best + 1);
  CHECK(usual + 1 >= best);
  CHECK(alone.usual(400) > usual);
}

TEST_CASE("trees get narrower as they get shorter") {
  simulation s{.drafter = {.drafter = {.tokens = 6, .width = 2}},
               .t = [](std::size_t n) { return 1 + .1 * static_cast<double>(n - 1); },
               .acceptance = .7};
  for (int i = 0; i < 300; ++i) {
    const std::size_t depth = s.run();
    CHECK(depth == s.state.length());
    CHECK(s.tree.drafts() == 2 * depth);
    CHECK(weir_test::is_sound(s.tree));
  }
}

TEST_CASE("narrower limits than the drafter's are kept") {
  const adaptive_length<ones> drafter;
  adaptive_length<ones>::state state(drafter, {});
  weir::draft_tree tree(drafter.limits());
  for (std::uint64_t round = 0; round < 100; ++round) {
    const weir::draft_limits now{.nodes = 12, .depth = round % 5 + 1};
    tree.start(0, now);
    state.propose({.round = round}, tree);
    CHECK(tree.deepest() <= now.depth);
    state.learn({tree.drafts(), tree.deepest(), tree.deepest(), 0, 1, tree.size()});
  }
}

TEST_CASE("drafters of adaptive length are sound") {
  using weir::combined, weir::lookahead, weir::ngram_cache, weir::prompt_lookup;
  weir_test::check_drafter(adaptive_length<prompt_lookup>{});
  weir_test::check_drafter(adaptive_length<lookahead>{.rows = 5});
  weir_test::check_drafter(
      adaptive_length<combined<prompt_lookup, ngram_cache>>{.rows = 100, .memory = 10});
  // Clocks: another choice each time.
  weir_test::check_drafter(combined<adaptive_length<prompt_lookup>, ngram_cache>{}, 40, false);
}

TEST_CASE("adaptive lengths refuse settings without sense") {
  using weir::error::bad_config;
  const auto make = [](adaptive_length<ones> s) { adaptive_length<ones>::state state(s, {}); };
  weir_test::require_refused<bad_config>([&] { make({.rows = 0}); }, {"0 rows"});
  weir_test::require_refused<bad_config>([&] { make({.memory = 0}); }, {"memory"});
  weir_test::require_refused<bad_config>([&] { make({.probe = 0}); }, {"probe"});
}
