// Verifiers, exactly: every way that random choices can go, weighed.
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/speculate.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/speculation/verifiers/sample_and_match.hpp>
#include <weir/speculation/verifiers/typical_acceptance_lossy.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "speculation/verifier_targets.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

using weir::draft_tree;
using weir::rejection_sampling;
using weir::sample_and_match;
using weir::sibling_kind;
using weir::token_id;
using weir::token_probability;
using weir::typical_acceptance_lossy;
using weir::verification;
using weir::verify_setup;
using weir_test::distribution;
using weir_test::enumerated;
using weir_test::node;
using weir_test::tokens;
using weir_test::told_target;
using weir_test::world;

namespace {

using widths_type = std::vector<std::size_t>;

const distribution p4 = {.4f, .3f, .2f, .1f}, q4 = {.1f, .4f, .1f, .4f};

/// What comes of one round.
struct outcome {
  std::map<tokens, double> emitted;  // with its probability
  double accepted = 0;               // tokens of the tree, on average
  double first_accepted = 0;         // probability that there is one
};

/// `grow(tree, choose)` makes a tree.
template <class State, class Grow>
outcome outcome_of_trees(State&& state, const world& w, const weir::draft_limits& limits,
                         Grow&& grow) {
  outcome out;
  draft_tree tree(limits, w.vocabulary);
  verification v;
  weir_test::enumeration ways;
  ways.run(
      [&] {
        tree.start(0, limits);
        grow(tree, [&](std::span<const double> weights) { return ways.choose(weights); });
        v.path.clear();
        told_target<enumerated> target(w, tree, {ways});
        state.verify(tree, target, v);
        if (target.at() != (v.path.empty() ? 0 : v.path.back()))
          throw std::logic_error("the walk did not end at the last node of the path");
      },
      [&](double probability) {
        out.emitted[weir_test::emitted(tree, v)] += probability;
        out.accepted += probability * static_cast<double>(v.path.size());
        if (!v.path.empty()) out.first_accepted += probability;
      });
  return out;
}
template <class State>
outcome outcome_of(State&& state, const world& w, const widths_type& widths, sibling_kind made) {
  return outcome_of_trees(
      state, w, weir_test::limits_of(widths), [&](draft_tree& tree, auto&& choose) {
        weir_test::grow(tree, widths, made, w,
                        [&](node, std::span<const double> weights) { return choose(weights); });
      });
}

template <class Verifier, sibling_kind Kind>
auto state_for(const world& w, const weir::draft_limits& limits, const Verifier& settings = {}) {
  return typename Verifier::template state<Kind>(settings, {w.vocabulary, limits});
}

/// Calls `f(sequence, probability)` for all sequences of `length` tokens of the target's.
template <class F>
void for_each_sequence(const world& w, std::size_t length, F&& f, tokens behind = {},
                       double probability = 1) {
  if (behind.size() == length) return f(behind, probability);
  const auto p = weir_test::normalized(w.target(behind));
  for (std::size_t i = 0; i < p.size(); ++i) {
    tokens next = behind;
    next.push_back(static_cast<token_id>(i));
    for_each_sequence(w, length, f, next, probability * p[i]);
  }
}

/// How far the first `length` tokens, where plain decoding goes on behind a round, are from the
/// target's: the largest difference of any sequence.
double error_of(const outcome& o, const world& w, std::size_t length) {
  std::map<tokens, double> emitted;
  for (const auto& [sequence, probability] : o.emitted)
    emitted[tokens(sequence.data(), sequence.data() + std::min(length, sequence.size()))] +=
        probability;
  double largest = 0;
  for_each_sequence(w, length, [&](const tokens& sequence, double expected) {
    double found = 0;
    for (std::size_t n = 1; n <= length; ++n) {
      const auto it = emitted.find(tokens(sequence.data(), sequence.data() + n));
      if (it == emitted.end()) continue;
      double p = it->second;
      for (std::size_t i = n; i < length; ++i)
        p *= weir_test::normalized(w.target(
            tokens(sequence.data(), sequence.data() + i)))[static_cast<std::size_t>(sequence[i])];
      found += p;
    }
    largest = std::max(largest, std::fabs(found - expected));
  });
  return largest;
}

std::vector<double> first_token(const outcome& o, std::size_t vocabulary) {
  std::vector<double> p(vocabulary);
  for (const auto& [sequence, probability] : o.emitted)
    p[static_cast<std::size_t>(sequence[0])] += probability;
  return p;
}
double total_variation(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]) / 2;
  return sum;
}
void check_distribution(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(std::fabs(found[i] - expected[i]) < 1e-7);  // f32 distributions
}
bool near(double found, double expected) { return std::fabs(found - expected) < 1e-7; }

/// Distributions of one round under `Verifier`, for all kinds of siblings and many shapes, against
/// the target's.
template <class Verifier, sibling_kind Kind>
void check_exact(const world& w, const widths_type& widths) {
  auto state = state_for<Verifier, Kind>(w, weir_test::limits_of(widths));
  const outcome o = outcome_of(state, w, widths, Kind);
  std::string shape;
  for (const std::size_t n : widths) shape += std::to_string(n) + ' ';
  INFO("vocabulary " << w.vocabulary << ", kind " << static_cast<int>(Kind) << ", widths "
                     << shape);
  CHECK(error_of(o, w, widths.size() + 1) < 1e-12);
  CHECK(error_of(o, w, 1) < 1e-12);
}
template <class Verifier>
void check_exact(const world& w, const widths_type& widths) {
  check_exact<Verifier, sibling_kind::point_mass>(w, widths);
  check_exact<Verifier, sibling_kind::independent>(w, widths);
  check_exact<Verifier, sibling_kind::without_replacement>(w, widths);
}

template <class Verifier>
void check_exact_everywhere() {
  const widths_type shapes[] = {{1},    {2},    {3},       {1, 1},   {2, 1},
                                {1, 2}, {2, 2}, {1, 1, 1}, {2, 1, 1}};
  for (const std::size_t vocabulary : {2u, 3u, 4u})
    for (std::uint64_t seed = 0; seed < 3; ++seed)
      for (const widths_type& widths : shapes)
        if (vocabulary < 4 || widths != widths_type{2, 2} || seed == 0)
          check_exact<Verifier>(weir_test::random_world(vocabulary, seed), widths);
  check_exact<Verifier>(weir_test::random_world(3, 9), {4});
  check_exact<Verifier>(weir_test::random_world(5, 9), {3, 1});
  check_exact<Verifier>(weir_test::random_world(6, 9), {1, 1, 1});
  check_exact<Verifier>(weir_test::random_world(6, 10), {3});
  check_exact<Verifier>(weir_test::random_world(2, 11), {2, 2, 1});

  const distribution one = {0, 0, 1, 0}, other = {0, 1, 0, 0}, half = {.5f, 0, .5f, 0};
  const distribution close = {.4f, .3f, .2f, .1000001f};
  for (const distribution& p : {p4, q4, one, half, close})
    for (const distribution& q : {p4, q4, one, other, half, close})
      for (const widths_type& widths : {widths_type{3}, widths_type{2, 1}, widths_type{1, 1, 1}})
        check_exact<Verifier>(weir_test::same_everywhere(p, q), widths);
}

}  // namespace

TEST_CASE("rejection sampling keeps the target's distribution, whatever the draft's") {
  check_exact_everywhere<rejection_sampling>();
}

TEST_CASE("sample and match keeps the target's distribution, whatever the draft's") {
  check_exact_everywhere<sample_and_match>();
}

TEST_CASE("tokens drawn at random are as good as others for the rule of point masses") {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const world w = weir_test::random_world(4, seed);
    const widths_type widths = {2, 1};
    auto state = state_for<rejection_sampling, sibling_kind::point_mass>(w, {});
    const outcome o = outcome_of(state, w, widths, sibling_kind::without_replacement);
    CHECK(error_of(o, w, 3) < 1e-12);
  }
}

TEST_CASE("whether a sibling is drawn may depend on those before it") {
  const auto check = [](auto kind, const world& w) {
    auto state = state_for<rejection_sampling, kind()>(w, {});
    const weir::draft_limits limits{.nodes = 8, .depth = 2, .width = 4};
    const outcome o = outcome_of_trees(state, w, limits, [&](draft_tree& tree, auto&& choose) {
      // Siblings until one is even, but at most three; children behind every other token.
      for (node n = 0; n < tree.size(); ++n) {
        if (tree.depth(n) == 2 || (n != 0 && tree.token(n) % 2 == 1)) continue;
        const distribution q = w.draft(weir_test::way_to(tree, n));
        std::copy(q.begin(), q.end(), tree.set_distribution(n).begin());
        std::vector<double> left(q.begin(), q.end());
        for (int i = 0; i < 3; ++i) {
          if (*std::max_element(left.begin(), left.end()) == 0) break;
          const std::size_t x = choose(left);
          tree.add(static_cast<token_id>(x), n);
          if (kind() == sibling_kind::without_replacement) left[x] = 0;
          if (x % 2 == 0) break;
        }
      }
    });
    CHECK(error_of(o, w, 3) < 1e-12);
  };
  for (std::uint64_t seed = 20; seed < 23; ++seed)
    for (const std::size_t vocabulary : {3u, 4u}) {
      const world w = weir_test::random_world(vocabulary, seed);
      check(std::integral_constant<sibling_kind, sibling_kind::independent>(), w);
      check(std::integral_constant<sibling_kind, sibling_kind::without_replacement>(), w);
    }
}

TEST_CASE("published numbers on four tokens") {
  const world w = weir_test::same_everywhere(p4, q4);
  const auto round = [&](auto verifier, auto kind, const widths_type& widths) {
    auto state = state_for<decltype(verifier), kind()>(w, weir_test::limits_of(widths));
    return outcome_of(state, w, widths, kind());
  };
  constexpr std::integral_constant<sibling_kind, sibling_kind::point_mass> point_mass;
  constexpr std::integral_constant<sibling_kind, sibling_kind::independent> independent;
  constexpr std::integral_constant<sibling_kind, sibling_kind::without_replacement> distinct;
  constexpr rejection_sampling rejection;

  CHECK(near(round(rejection, independent, {1}).first_accepted, 3 / 5.));
  const double tokens_of_chains[] = {1.6, 1.96, 2.176, 2.3056};
  for (std::size_t k = 1; k <= 4; ++k)
    CHECK(near(1 + round(rejection, independent, widths_type(k, 1)).accepted,
               tokens_of_chains[k - 1]));
  CHECK(near(round(sample_and_match{}, independent, {1}).first_accepted, .22));

  CHECK(near(round(rejection, independent, {2}).first_accepted, 17 / 25.));
  CHECK(near(round(rejection, distinct, {2}).first_accepted, 11 / 15.));
  CHECK(near(round(rejection, distinct, {3}).first_accepted, 9 / 10.));
  CHECK(near(round(rejection, distinct, {4}).first_accepted, 1));
  // Of a tie in q the lower id is the first: tokens 1 and 3.
  CHECK(near(round(rejection, point_mass, {2}).first_accepted, 2 / 5.));
  CHECK(near(round(rejection, point_mass, {1}).first_accepted, 3 / 10.));
  CHECK(near(round(sample_and_match{}, point_mass, {1}).first_accepted, 3 / 10.));
  CHECK(near(round(sample_and_match{}, point_mass, {2}).first_accepted, 2 / 5.));
}

TEST_CASE("each draft is asked for as often, and what is left is, as published") {
  /// Says no to every draft, and notes what it was asked.
  struct says_no {
    std::vector<double>& asked;
    token_id sample(const draft_tree&, node, const std::vector<double>&) { return -1; }
    bool accept_with_probability(const draft_tree&, node, std::size_t, double p) {
      asked.push_back(p);
      return false;
    }
    token_id draw(const draft_tree&, node, std::span<const double> weights) {
      double sum = 0;
      for (const double w : weights) sum += w;
      for (const double w : weights) asked.push_back(w / sum);
      return 0;
    }
  };
  const world w = weir_test::same_everywhere(p4, q4);
  const auto ask = [&](auto kind, const tokens& drafts) {
    draft_tree tree({.nodes = 4, .depth = 1, .width = 4}, 4);
    std::copy(q4.begin(), q4.end(), tree.set_distribution(0).begin());
    for (const token_id t : drafts) tree.add(t, 0);
    std::vector<double> asked;
    told_target<says_no> target(w, tree, {asked});
    verification v;
    state_for<rejection_sampling, kind()>(w, {}).verify(tree, target, v);
    CHECK(v.path.empty());
    return asked;
  };
  constexpr std::integral_constant<sibling_kind, sibling_kind::point_mass> point_mass;
  constexpr std::integral_constant<sibling_kind, sibling_kind::independent> independent;
  constexpr std::integral_constant<sibling_kind, sibling_kind::without_replacement> distinct;

  const double accepts[] = {1, 3 / 4., 1, 1 / 4.};
  for (token_id t = 0; t < 4; ++t)
    CHECK(near(ask(independent, {t})[0], accepts[static_cast<std::size_t>(t)]));
  check_distribution(ask(independent, {1}), {3 / 4., 3 / 4., 0, 1 / 4., 0});
  check_distribution(ask(independent, {1, 3}), {3 / 4., 0, 13 / 16., 0, 3 / 16., 0});
  check_distribution(ask(point_mass, {1, 3}), {3 / 10., 1 / 7., 2 / 3., 0, 1 / 3., 0});
  check_distribution(ask(distinct, {1, 3}), {3 / 4., 0, 7 / 8., 0, 1 / 8., 0});
}

TEST_CASE("a round with numbers that are written down") {
  const world w = weir_test::same_everywhere(p4, q4);
  draft_tree tree({.nodes = 2, .depth = 2}, 4);
  tree.add(3, tree.add(1, 0));
  for (const node n : {0u, 1u}) std::copy(q4.begin(), q4.end(), tree.set_distribution(n).begin());
  const auto round = [&](std::vector<double> numbers) {
    told_target<weir_test::scripted> target(w, tree, {numbers});
    verification v;
    state_for<rejection_sampling, sibling_kind::independent>(w, {}).verify(tree, target, v);
    CHECK(numbers.empty());
    return weir_test::emitted(tree, v);
  };
  CHECK(round({.70, .50, .80}) == tokens{1, 2});     // 3 is rejected: 2 takes its place
  CHECK(round({.70, .50, .70}) == tokens{1, 0});     // or 0, up to 3/4
  CHECK(round({.70, .20, .95}) == tokens{1, 3, 3});  // both accepted: one more from p
  CHECK(round({.70, .20, .65}) == tokens{1, 3, 1});
  CHECK(round({.76, .10}) == tokens{0});  // 1 is rejected: 3 is not asked for
}

TEST_CASE("the check finds verifiers that are wrong") {
  const world w = weir_test::same_everywhere(p4, q4);
  const auto p = weir_test::normalized(p4);
  const auto check = [&](const outcome& o, const std::vector<double>& expected, double apart) {
    const auto found = first_token(o, 4);
    check_distribution(found, expected);
    CHECK(near(total_variation(found, p), apart));
    CHECK(error_of(o, w, 1) > 1e-3);
    CHECK(error_of(o, w, 2) > 1e-3);
  };
  check(outcome_of(weir_test::resamples{p4, q4}, w, {1}, sibling_kind::independent),
        {13 / 50., 21 / 50., 9 / 50., 7 / 50.}, .16);
  // The rule of one kind, siblings of another.
  check(outcome_of(state_for<rejection_sampling, sibling_kind::independent>(w, {}), w, {2},
                   sibling_kind::without_replacement),
        {23 / 60., 3 / 10., 13 / 60., 1 / 10.}, 1 / 60.);
  check(outcome_of(state_for<rejection_sampling, sibling_kind::without_replacement>(w, {}), w, {2},
                   sibling_kind::point_mass),
        {7 / 32., 3 / 4., 1 / 32., 0}, .45);
}

TEST_CASE("down a tree to the target's own tokens") {
  const auto sure = [](std::size_t x) {
    distribution p(10);
    p[x] = 1;
    return p;
  };
  // Nodes 1 and 2 below the root, 3 and 4 below node 1.
  const world w{10,
                [&](const tokens& t) {
                  return sure(t.empty() ? 7 : t == tokens{7} ? 6 : t == tokens{7, 6} ? 9 : 0);
                },
                [](const tokens&) { return distribution(10, .1f); }};
  draft_tree tree({.nodes = 4, .depth = 2, .width = 2}, 10);
  const node first = tree.add(7, 0);
  tree.add(8, 0);
  tree.add(5, first);
  tree.add(6, first);
  for (const node n : {0u, 1u}) std::fill_n(tree.set_distribution(n).begin(), 10, .1f);
  const std::size_t depths[] = {0, 1, 1, 2, 2};
  for (node n = 0; n < 5; ++n) CHECK(tree.depth(n) == depths[n]);

  const auto check = [&](auto state) {
    told_target<weir_test::keyed> target(w, tree, {{1, 2}});
    verification v;
    state.verify(tree, target, v);
    CHECK(v.path == std::vector<node>{1, 4});
    CHECK(weir_test::emitted(tree, v) == tokens{7, 6, 9});
  };
  const weir::draft_limits limits{.nodes = 4, .depth = 2, .width = 2};
  check(state_for<sample_and_match, sibling_kind::point_mass>(w, limits));
  check(state_for<rejection_sampling, sibling_kind::point_mass>(w, limits));
  check(state_for<rejection_sampling, sibling_kind::independent>(w, limits));
  check(state_for<rejection_sampling, sibling_kind::without_replacement>(w, limits));
  check(state_for<typical_acceptance_lossy, sibling_kind::point_mass>(w, limits));
}

TEST_CASE("typical acceptance is not the target's distribution") {
  const world w = weir_test::same_everywhere(p4, q4);
  const auto accepts = [](const distribution& p, token_id draft,
                          const typical_acceptance_lossy& settings) {
    const world told = weir_test::same_everywhere(p, p);
    const weir::draft_limits limits{.nodes = 1, .depth = 1};
    draft_tree tree(limits);
    tree.add(draft, 0);
    verification v;
    told_target<weir_test::keyed> target(told, tree, {{1, 2}});
    state_for<typical_acceptance_lossy, sibling_kind::independent>(told, limits, settings)
        .verify(tree, target, v);
    return !v.path.empty();
  };
  // All four tokens pass, so that what comes out is what was drafted.
  const outcome o = outcome_of(
      state_for<typical_acceptance_lossy, sibling_kind::independent>(w, {.nodes = 1, .depth = 1}),
      w, {1}, sibling_kind::independent);
  CHECK(near(o.first_accepted, 1));
  check_distribution(first_token(o, 4), weir_test::normalized(q4));
  CHECK(near(total_variation(first_token(o, 4), weir_test::normalized(p4)), .4));

  // exp(−H) is .27808: the least that passes reaches .1 at δ = .3596.
  CHECK(accepts(p4, 3, {.epsilon = .5, .delta = .3595}));
  CHECK_FALSE(accepts(p4, 3, {.epsilon = .5, .delta = .3597}));
  CHECK(accepts(p4, 2, {.epsilon = .5, .delta = .3597}));
  CHECK(accepts(p4, 3, {.epsilon = .099, .delta = .3597}));
  // Peaked: exp(−H) is .84561, so ε = .09 is the less.
  const distribution peaked = {.97f, .01f, .01f, .01f};
  CHECK(accepts(peaked, 0, {}));
  CHECK_FALSE(accepts(peaked, 1, {}));
  CHECK(accepts(peaked, 1, {.epsilon = .0099, .delta = .3}));
  CHECK(accepts(peaked, 1, {.epsilon = .5, .delta = .01182}));
  CHECK_FALSE(accepts(peaked, 1, {.epsilon = .5, .delta = .01183}));
  CHECK_FALSE(accepts({0, .5f, .5f, 0}, 0, {.epsilon = 0, .delta = 0}));  // equal is not above
}

TEST_CASE("of typical paths the longest stays, the more probable one of two") {
  const world w = weir_test::same_everywhere({.3f, .4f, .3f, 0}, {1, 0, 0, 0});
  const weir::draft_limits limits{.nodes = 8, .depth = 3, .width = 4};
  const auto path = [&](auto&& grow) {
    draft_tree tree(limits);
    grow(tree);
    verification v;
    told_target<weir_test::keyed> target(w, tree, {{1, 2}});
    state_for<typical_acceptance_lossy, sibling_kind::point_mass>(w, limits).verify(tree, target,
                                                                                    v);
    CHECK(target.at() == (v.path.empty() ? 0 : v.path.back()));
    return v.path;
  };
  using path_type = std::vector<node>;
  CHECK(path([](draft_tree&) {}) == path_type{});
  CHECK(path([](draft_tree& t) { t.add(3, 0); }) == path_type{});
  CHECK(path([](draft_tree& t) { t.add(0, 0), t.add(1, 0), t.add(2, 0); }) == path_type{2});
  CHECK(path([](draft_tree& t) {  // 1 is more probable, but ends
          t.add(1, 0), t.add(0, 0), t.add(3, 1), t.add(2, 2);
        }) == path_type{2, 4});
  CHECK(path([](draft_tree& t) {  // 2·1 before 2·0, 0·0 and 0·1, which is no better
          t.add(2, 0), t.add(0, 1), t.add(0, 0), t.add(0, 3), t.add(1, 3), t.add(1, 1);
        }) == path_type{1, 6});
  CHECK(path([](draft_tree& t) {
          t.add(3, 0), t.add(1, 1), t.add(0, 0), t.add(3, 3), t.add(1, 4);
        }) == path_type{3});
}

TEST_CASE("settings of typical acceptance out of range are refused") {
  const auto make = [](double epsilon, double delta) {
    typical_acceptance_lossy::state<sibling_kind::point_mass>(
        {.epsilon = epsilon, .delta = delta},
        {.vocabulary = 4, .limits = {.nodes = 1, .depth = 1}});
  };
  using weir::error::bad_config;
  const double none = std::numeric_limits<double>::quiet_NaN();
  weir_test::require_refused<bad_config>([&] { make(-1, .3); },
                                         {"typical_acceptance_lossy.epsilon: -1", "expected"});
  weir_test::require_refused<bad_config>([&] { make(.09, none); },
                                         {"typical_acceptance_lossy.delta: nan", "expected"});
}

TEST_CASE("a drafter of sampled siblings that leaves no distribution is told so") {
  const world w = weir_test::same_everywhere(p4, q4);
  draft_tree tree({.nodes = 1, .depth = 1}, 4);
  tree.add(1, 0);
  const auto verify = [&](auto state) {
    verification v;
    told_target<weir_test::keyed> target(w, tree, {{1, 2}});
    state.verify(tree, target, v);
  };
  for (int i = 0; i < 2; ++i)
    weir_test::require_refused<weir::error::bad_call>(
        [&] {
          if (i == 0) verify(state_for<rejection_sampling, sibling_kind::independent>(w, {}));
          verify(state_for<rejection_sampling, sibling_kind::without_replacement>(w, {}));
        },
        {"rejection_sampling", "node 0", "expected 4", "set_distribution"});
  verify(state_for<rejection_sampling, sibling_kind::point_mass>(w, {}));
}

namespace {

/// A target of one distribution everywhere, without memory of its own.
struct plain_target {
  std::span<const token_probability> p;
  weir::random_source random;
  std::vector<double>* left = nullptr;  // what was drawn from

  token_id sample(node n) const {
    return weir::sampler::draw(p, random.uniform(weir::purpose::sampling, n));
  }
  std::span<const token_probability> distribution(node) const { return p; }
  bool accept_with_probability(node n, std::size_t sibling, double chance) const {
    return left == nullptr && random.uniform(weir::purpose::acceptance, n,
                                             static_cast<std::uint32_t>(sibling)) < chance;
  }
  token_id draw(node n, std::span<const double> weights) const {
    if (left != nullptr) left->assign(weights.begin(), weights.end());
    return weir::draw_weighted(weights, random.uniform(weir::purpose::residual, n));
  }
  void go(node) {}
  void back() {}
};

std::vector<token_probability> sparse(const distribution& p) {
  std::vector<token_probability> out;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) out.push_back({static_cast<token_id>(i), p[i]});
  return out;
}

}  // namespace

TEST_CASE("what is left of large distributions is what arithmetic in long double leaves") {
  for (const std::size_t vocabulary : {5u, 8u, 17u, 1003u}) {
    // Tokens 1 to 4 are drafted more often than they should be, all others less often.
    distribution p = weir_test::random_floats(vocabulary, 5),
                 q = weir_test::random_floats(vocabulary, 6);
    for (std::size_t t = 0; t < vocabulary; ++t) {
      p[t] = 2 + p[t];
      q[t] = t >= 1 && t <= 4 ? static_cast<float>(2 * vocabulary) + q[t] : 1 + q[t];
    }
    const world w = weir_test::same_everywhere(p, q);
    const auto check = [&](auto kind) {
      draft_tree tree({.nodes = 4, .depth = 1, .width = 4}, vocabulary);
      std::copy(q.begin(), q.end(), tree.set_distribution(0).begin());
      std::vector<long double> expected(p.begin(), p.end()), drafted(q.begin(), q.end());
      const auto normalize = [](std::vector<long double>& x) {
        long double sum = 0;
        for (const long double v : x) sum += v;
        for (long double& v : x) v /= sum;
      };
      normalize(expected);
      normalize(drafted);
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t x = 1 + i;
        tree.add(static_cast<token_id>(x), 0);
        if (kind() == sibling_kind::point_mass)
          expected[x] = 0;
        else
          for (std::size_t t = 0; t < vocabulary; ++t)
            expected[t] = t == x ? 0 : std::max(expected[t] - drafted[t], 0.0L);
        normalize(expected);
        if (kind() == sibling_kind::without_replacement) {
          drafted[x] = 0;
          normalize(drafted);
        }
      }
      std::vector<double> left;
      const auto sparse_distribution = sparse(p);
      plain_target target{sparse_distribution, {}, &left};
      verification v;
      state_for<rejection_sampling, kind()>(w, {}).verify(tree, target, v);
      REQUIRE(left.size() == vocabulary);
      double sum = 0, largest = 0;
      for (const double x : left) sum += x;
      for (std::size_t t = 0; t < vocabulary; ++t)
        largest = std::max(largest, std::fabs(left[t] / sum - static_cast<double>(expected[t])));
      INFO("vocabulary " << vocabulary << ", kind " << static_cast<int>(kind()));
      CHECK(largest < 1e-14);
    };
    check(std::integral_constant<sibling_kind, sibling_kind::point_mass>());
    check(std::integral_constant<sibling_kind, sibling_kind::independent>());
    check(std::integral_constant<sibling_kind, sibling_kind::without_replacement>());
  }
}

TEST_CASE("verifiers allocate nothing, and say what they hold") {
  const std::size_t vocabulary = 1000;
  const world w = weir_test::random_world(vocabulary, 3);
  const weir::draft_limits limits{.nodes = 12, .depth = 3, .width = 8};
  draft_tree tree(limits, vocabulary);
  const distribution q = w.draft({}), p = w.target({});
  for (std::size_t i = 0; i < 12; ++i)
    tree.add(static_cast<token_id>(i * 70 + 1), i < 4 ? 0 : i / 2 - 1);
  for (node n = 0; n < tree.size(); ++n)
    std::copy(q.begin(), q.end(), tree.set_distribution(n).begin());
  const auto sparse_distribution = sparse(p);
  const auto check = [&](auto verifier, auto kind, std::size_t bytes) {
    using verifier_type = decltype(verifier);
    using state_type = typename verifier_type::template state<kind()>;
    const verify_setup setup{vocabulary, limits};
    CHECK(state_type::required_bytes(verifier, setup) == bytes);
    state_type state(verifier, setup);
    verification v;
    v.path.reserve(limits.depth);
    const std::size_t before = weir_test::allocation_count();
    for (std::uint64_t key = 0; key < 200; ++key) {
      plain_target target{sparse_distribution, {7, key}};
      v.path.clear();
      state.verify(tree, target, v);
    }
    const std::size_t after = weir_test::allocation_count();
    CHECK(after == before);
  };
  constexpr std::integral_constant<sibling_kind, sibling_kind::point_mass> point_mass;
  constexpr std::integral_constant<sibling_kind, sibling_kind::independent> independent;
  constexpr std::integral_constant<sibling_kind, sibling_kind::without_replacement> distinct;
  check(sample_and_match{}, independent, 0);
  check(rejection_sampling{}, point_mass, vocabulary * 8);
  check(rejection_sampling{}, independent, vocabulary * 8);
  check(rejection_sampling{}, distinct, vocabulary * 12);
  check(typical_acceptance_lossy{}, point_mass, 13 * 8);
}

namespace {

struct dice {
  static constexpr sibling_kind siblings = sibling_kind::without_replacement;
  weir::draft_limits limits() const { return {.nodes = 1, .depth = 1}; }
  struct state {
    state(const dice&, const weir::draft_setup&) {}
    static std::size_t required_bytes(const dice&, const weir::draft_setup&) { return 0; }
    void append(std::span<const token_id>) {}
    void reset() {}
  };
};

}  // namespace

TEST_CASE("a decoder takes the rule from the drafter") {
  using sampled = weir::speculate<dice, rejection_sampling>;
  CHECK(std::is_same_v<sampled::verifier_state,
                       rejection_sampling::state<sibling_kind::without_replacement>>);
  CHECK(sampled::wants_distributions);
  CHECK(sampled::level == weir::guarantee::exact_distribution);
  CHECK_FALSE(weir::speculate<weir::no_drafts, rejection_sampling>::wants_distributions);
  CHECK_FALSE(weir::speculate<dice>::wants_distributions);
  CHECK(weir::speculate<dice>::level == weir::guarantee::exact_sequence);
  CHECK(weir::speculate<dice, typical_acceptance_lossy>::level == weir::guarantee::lossy);
}
