// Verifiers by statistics: many streams, with randomness keyed as streams key it.
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/sample_and_match.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "speculation/verifier_targets.hpp"
#include "support/catch.hpp"

using weir::draft_tree;
using weir::purpose;
using weir::random_source;
using weir::rejection_sampling;
using weir::sample_and_match;
using weir::sibling_kind;
using weir::token_id;
using weir::token_probability;
using weir::verification;
using weir_test::chi_square;
using weir_test::distribution;
using weir_test::keyed;
using weir_test::node;
using weir_test::tokens;
using weir_test::told_target;
using weir_test::world;

namespace {

using widths_type = std::vector<std::size_t>;
const distribution p4 = {.4f, .3f, .2f, .1f}, q4 = {.1f, .4f, .1f, .4f};

/// What follows depends on the last token.
world chained_world() {
  const auto last = [](const tokens& t) {
    return t.empty() ? std::size_t{0} : static_cast<std::size_t>(t.back());
  };
  const std::vector<distribution> p = {
      p4, {.1f, .2f, .3f, .4f}, {.25f, .25f, .5f, 0}, {.7f, .1f, .1f, .1f}};
  const std::vector<distribution> q = {
      q4, {.3f, .2f, .3f, .2f}, {.4f, .2f, 0, .4f}, {.6f, .2f, .1f, .1f}};
  return {4, [=](const tokens& t) { return p[last(t)]; },
          [=](const tokens& t) { return q[last(t)]; }};
}

/// One stream, round by round.
struct stream {
  struct round {
    token_id root;  // 0 for the empty stream
    bool rejected;  // how the one before ended: a draft was rejected in it
    std::size_t accepted;
    std::size_t first;  // of `said`, that it brought
  };
  tokens said;
  std::vector<round> rounds;
};

/// `Random(random_source, root)` answers the verifier. `State` is that of a verifier.
template <class Random = keyed, class State>
void play(stream& out, State& state, const world& w, const widths_type& widths, sibling_kind made,
          const random_source& random, std::size_t rounds, draft_tree& tree) {
  out.said.clear();
  out.rounds.clear();
  verification v;
  bool rejected = false;
  for (std::size_t r = 0; r < rounds; ++r) {
    const token_id root = out.said.empty() ? 0 : out.said.back();
    // Distributions of a chain need only the last token: behind the root, that is it.
    const world here{w.vocabulary,
                     [&](const tokens& t) { return w.target(t.empty() ? tokens{root} : t); },
                     [&](const tokens& t) { return w.draft(t.empty() ? tokens{root} : t); }};
    tree.start(root, weir_test::limits_of(widths));
    std::uint32_t draws = 0;
    weir_test::grow(tree, widths, made, here, [&](node, std::span<const double> weights) {
      return static_cast<std::size_t>(
          weir::draw_weighted(weights, random.uniform(purpose::drafting, r, draws++)));
    });
    v.path.clear();
    told_target<Random> target(here, tree, Random{random, out.said.size()});
    state.verify(tree, target, v);
    out.rounds.push_back({root, rejected, v.path.size(), out.said.size()});
    for (const token_id t : weir_test::emitted(tree, v)) out.said.push_back(t);
    rejected = tree.child(v.path.empty() ? 0 : v.path.back()) != draft_tree::none;
  }
}

struct found {
  chi_square first;           // the streams' first tokens
  chi_square pair;            // and the two first ones
  chi_square behind[2];       // first tokens of later rounds, [behind a rejection]
  chi_square pair_behind[2];  // and what follows these
  double accepted = 0;        // drafts of the first round, on average
  double any = 0;             // how often there is one
  std::size_t streams = 0;
};

template <class Random = keyed, class State>
found statistics(State&& state, const world& w, const widths_type& widths, sibling_kind made,
                 std::size_t streams, std::uint64_t seed = 1) {
  constexpr std::size_t rounds = 5;
  const std::size_t n = w.vocabulary;
  const auto at = [](token_id t) { return static_cast<std::size_t>(t); };
  std::vector<std::size_t> first(n), pair(n * n);
  std::vector<std::vector<std::size_t>> behind(2 * n, std::vector<std::size_t>(n)),
      pair_behind(2 * n, std::vector<std::size_t>(n * n));
  found out;
  out.streams = streams;
  draft_tree tree(weir_test::limits_of(widths), n);
  stream s;
  for (std::uint64_t key = 0; key < streams; ++key) {
    play<Random>(s, state, w, widths, made, {seed, key}, rounds, tree);
    ++first[at(s.said[0])];
    ++pair[at(s.said[0]) * n + at(s.said[1])];
    out.accepted += static_cast<double>(s.rounds[0].accepted);
    out.any += s.rounds[0].accepted > 0;
    for (std::size_t r = 1; r + 1 < rounds; ++r) {
      const stream::round& round = s.rounds[r];
      const std::size_t row = (round.rejected ? n : 0) + at(round.root);
      const std::size_t a = at(s.said[round.first]), b = at(s.said[round.first + 1]);
      ++behind[row][a];
      if (r == 1) ++pair_behind[row][a * n + b];  // pairs that share no token
    }
  }
  const auto p = [&](std::size_t t) {
    return weir_test::normalized(w.target({static_cast<token_id>(t)}));
  };
  const auto of_pairs = [&](std::size_t root) {
    std::vector<double> joint;
    for (std::size_t a = 0; a < n; ++a)
      for (std::size_t b = 0; b < n; ++b) joint.push_back(p(root)[a] * p(a)[b]);
    return joint;
  };
  out.first.add(p(0), first);
  out.pair.add(of_pairs(0), pair);
  for (std::size_t row = 0; row < 2 * n; ++row) {
    out.behind[row / n].add(p(row % n), behind[row]);
    out.pair_behind[row / n].add(of_pairs(row % n), pair_behind[row]);
  }
  out.accepted /= static_cast<double>(streams);
  out.any /= static_cast<double>(streams);
  return out;
}

void check_lossless(const found& f) {
  const auto check = [](const char* what, const chi_square& x) {
    INFO(what << ": " << x.value << ", " << x.degrees << " degrees of freedom");
    CHECK_FALSE(x.rejects());
  };
  check("first", f.first);
  check("pair", f.pair);
  for (const int rejected : {0, 1}) {
    INFO("behind a rejection: " << rejected);
    check("first of a round", f.behind[rejected]);
    check("pair", f.pair_behind[rejected]);
  }
}

template <class Verifier, sibling_kind Kind>
auto state_for(const world& w) {
  return typename Verifier::template state<Kind>({}, {w.vocabulary, {}});
}

constexpr std::integral_constant<sibling_kind, sibling_kind::point_mass> point_mass;
constexpr std::integral_constant<sibling_kind, sibling_kind::independent> independent;
constexpr std::integral_constant<sibling_kind, sibling_kind::without_replacement> distinct;

/// Draws what is left by the number that decided about the last draft.
struct uses_a_number_twice : keyed {
  token_id draw(const draft_tree& tree, node n, std::span<const double> weights) {
    return weir::draw_weighted(weights, random.uniform(purpose::acceptance, behind(tree, n)));
  }
};

/// Decides by the numbers that drew the drafts of the second round.
struct uses_the_drafters_numbers : keyed {
  bool accept_with_probability(const draft_tree&, node, std::size_t sibling, double p) {
    return random.uniform(purpose::drafting, 1, static_cast<std::uint32_t>(sibling)) < p;
  }
};

/// Draws what follows a draft that was accepted from the distribution that it was checked against.
template <class State>
struct reads_the_wrong_row {
  State state;
  template <class Target>
  void verify(const draft_tree& tree, Target& target, verification& out) {
    state.verify(tree, target, out);
    if (out.path.empty()) return;
    target.back();
    out.extra = target.sample(0);
  }
};

}  // namespace

TEST_CASE("streams of many rounds follow the target's distribution") {
  const world chained = chained_world(), same = weir_test::same_everywhere(p4, q4);
  const auto check = [&](auto kind, const widths_type& widths) {
    for (const world* w : {&chained, &same}) {
      INFO("kind " << static_cast<int>(kind()) << ", " << widths.size() << " deep, " << widths[0]
                   << " wide, world " << (w == &same));
      check_lossless(
          statistics(state_for<rejection_sampling, kind()>(*w), *w, widths, kind(), 20'000));
    }
    INFO("sample and match");
    check_lossless(
        statistics(state_for<sample_and_match, kind()>(chained), chained, widths, kind(), 20'000));
  };
  for (const widths_type& widths : {widths_type{1}, widths_type{1, 1, 1}, widths_type{2},
                                    widths_type{3, 1}, widths_type{2, 2}}) {
    check(point_mass, widths);
    check(independent, widths);
    check(distinct, widths);
  }
}

TEST_CASE("the statistics find verifiers that are wrong") {
  constexpr std::size_t streams = 20'000;
  const world w = weir_test::same_everywhere(p4, q4), chained = chained_world();
  {
    const found f =
        statistics(weir_test::resamples{p4, q4}, w, {1}, sibling_kind::independent, streams);
    CHECK(f.first.rejects());
    CHECK(f.pair.rejects());
    CHECK(f.behind[0].rejects());
    CHECK(f.behind[1].rejects());
  }
  {
    // N for 99 % is 18208 here.
    const found f = statistics(state_for<rejection_sampling, sibling_kind::independent>(w), w, {2},
                               sibling_kind::without_replacement, 60'000);
    CHECK(f.first.rejects());
    CHECK(f.behind[0].rejects());
    CHECK(f.behind[1].rejects());
  }
  {
    const found f = statistics(state_for<rejection_sampling, sibling_kind::without_replacement>(w),
                               w, {2}, sibling_kind::point_mass, streams);
    CHECK(f.first.rejects());
    CHECK(f.pair.rejects());
  }
  {
    auto state = state_for<rejection_sampling, sibling_kind::independent>(chained);
    const found f =
        statistics<uses_a_number_twice>(state, chained, {1}, sibling_kind::independent, streams);
    CHECK(f.first.rejects());
    const found g = statistics<uses_the_drafters_numbers>(state, chained, {1},
                                                          sibling_kind::independent, streams);
    CHECK_FALSE(g.first.rejects());  // shows only in later rounds
    CHECK(g.behind[0].rejects());
    CHECK(g.behind[1].rejects());
  }
  {
    using state_type = rejection_sampling::state<sibling_kind::independent>;
    reads_the_wrong_row<state_type> state{state_for<rejection_sampling, independent()>(chained)};
    const found f = statistics(state, chained, {1}, sibling_kind::independent, streams);
    CHECK_FALSE(f.first.rejects());  // shows only in pairs, and in later rounds
    CHECK(f.pair.rejects());
  }
}

TEST_CASE("as many drafts are accepted as can be") {
  const world w = weir_test::same_everywhere(p4, q4);
  constexpr std::size_t streams = 20'000;
  const auto check = [&](auto verifier, auto kind, const widths_type& widths, double any) {
    const found f =
        statistics(state_for<decltype(verifier), kind()>(w), w, widths, kind(), streams, 2);
    INFO("kind " << static_cast<int>(kind()) << ", " << widths[0] << " wide: " << f.any);
    CHECK(std::fabs(f.any - any) <= 4 * std::sqrt(any * (1 - any) / double{streams}) + 1e-12);
    return f.accepted;
  };
  constexpr rejection_sampling rejection;
  constexpr sample_and_match match;
  check(rejection, independent, {1}, 3 / 5.);
  check(rejection, independent, {2}, 17 / 25.);
  check(rejection, distinct, {2}, 11 / 15.);
  check(rejection, distinct, {3}, 9 / 10.);
  check(rejection, distinct, {4}, 1);
  check(rejection, point_mass, {1}, 3 / 10.);
  check(rejection, point_mass, {2}, 2 / 5.);
  check(match, point_mass, {2}, 2 / 5.);
  check(match, independent, {1}, .22);
  // 1.6, 1.96, 2.176, 2.3056 tokens a round. No draft counts for more than 4, so σ < 1.5.
  const double accepted[] = {.6, .96, 1.176, 1.3056};
  for (std::size_t k = 1; k <= 4; ++k)
    CHECK(std::fabs(check(rejection, independent, widths_type(k, 1), .6) - accepted[k - 1]) <
          4 * 1.5 / std::sqrt(double{streams}));
}

namespace {

/// One distribution, one draft, numbers keyed by the draw.
struct one_row {
  std::span<const token_probability> p;
  random_source random;
  std::uint64_t index;

  token_id sample(node n) const {
    return weir::sampler::draw(p, random.uniform(purpose::sampling, index + n));
  }
  std::span<const token_probability> distribution(node) const { return p; }
  bool accept_with_probability(node, std::size_t, double chance) const {
    return random.uniform(purpose::acceptance, index) < chance;
  }
  token_id draw(node, std::span<const double> left) const {
    return weir::draw_weighted(left, random.uniform(purpose::residual, index));
  }
  void go(node) {}
};

/// The largest difference between how often tokens came and how probable they are.
double largest_difference(const distribution& p, const distribution& q, std::uint64_t seed,
                          std::size_t draws) {
  std::vector<token_probability> target;
  for (std::size_t t = 0; t < p.size(); ++t)
    if (p[t] > 0) target.push_back({static_cast<token_id>(t), p[t]});
  const std::vector<double> drafts(q.begin(), q.end());
  const random_source random{seed, 3};
  const weir::draft_limits limits{.nodes = 1, .depth = 1};
  draft_tree tree(limits, p.size());
  rejection_sampling::state<sibling_kind::independent> state({}, {p.size(), limits});
  verification v;
  std::vector<std::size_t> count(p.size());
  for (std::uint64_t i = 0; i < draws; ++i) {
    tree.start(0, limits);
    std::copy(q.begin(), q.end(), tree.set_distribution(0).begin());
    tree.add(weir::draw_weighted(drafts, random.uniform(purpose::drafting, i)), 0);
    one_row row{target, random, 2 * i};
    v.path.clear();
    state.verify(tree, row, v);
    ++count[static_cast<std::size_t>(v.path.empty() ? v.extra : tree.token(1))];
  }
  double largest = 0;
  for (std::size_t t = 0; t < p.size(); ++t)
    largest = std::max(
        largest, std::fabs(static_cast<double>(count[t]) / static_cast<double>(draws) - p[t]));
  return largest;
}

}  // namespace

TEST_CASE("every token comes as often as the target's distribution says") {
  const distribution p = {.35f, .25f, .2f, .15f, .05f, 0};
  const std::pair<std::string, distribution> drafts[] = {
      {"equal", p},
      {"close", {.33f, .27f, .18f, .16f, .06f, 0}},
      {"reversed", {0, .05f, .15f, .2f, .25f, .35f}},
      {"missing mass", {.5f, 0, .5f, 0, 0, 0}},
      {"tokens of zero mass", {.1f, .1f, .1f, .1f, .1f, .5f}},
  };
  for (const auto& [name, q] : drafts) {
    INFO(name);
    CHECK(largest_difference(p, q, 100, 200'000) <= .01);
    for (std::uint64_t seed = 0; seed < 8; ++seed)
      CHECK(largest_difference(p, q, seed, 100'000) <= .015);
  }
}
