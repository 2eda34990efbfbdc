#include <weir/speculation/drafters/combined.hpp>

#include <array>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>

#include "speculation/drafter_checks.hpp"
#include "support/refusal.hpp"

using weir::combined;
using weir_test::ids;

namespace {

constexpr weir::token_id a = 1, b = 2, c = 3, d = 4;

/// Drafts singly what it was told to, behind each path.
struct scripted {
  std::map<ids, weir::token_draft> script;

  static constexpr weir::sibling_kind siblings = weir::sibling_kind::point_mass;
  weir::draft_limits limits() const { return {.nodes = 4, .depth = 4}; }
  struct state {
    state(const scripted& s, const weir::draft_setup&) : script(s.script) {}
    static std::size_t required_bytes(const scripted&, const weir::draft_setup&) { return 0; }
    void append(std::span<const weir::token_id>) {}
    void propose(const weir::draft_request&, weir::draft_tree&) {}
    std::optional<weir::token_draft> draft(const weir::draft_request&,
                                           std::span<const weir::token_id> path) {
      const auto found = script.find(ids(path.begin(), path.end()));
      if (found == script.end()) return std::nullopt;
      return found->second;
    }
    void reset() {}
    std::map<ids, weir::token_draft> script;
  };
};

/// Drafts the same tree in every round, and remembers what it was told.
struct fixed_tree {
  ids tokens;
  std::vector<std::size_t> parents;
  std::vector<weir::round_outcome>* told = nullptr;

  static constexpr weir::sibling_kind siblings = weir::sibling_kind::point_mass;
  weir::draft_limits limits() const { return {.nodes = 8, .depth = 4, .width = 4}; }
  struct state {
    state(const fixed_tree& s, const weir::draft_setup&)
        : tokens(s.tokens), parents(s.parents), told(s.told) {}
    static std::size_t required_bytes(const fixed_tree&, const weir::draft_setup&) { return 0; }
    void append(std::span<const weir::token_id>) {}
    void propose(const weir::draft_request&, weir::draft_tree& tree) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        if (parents[i] < tree.size()) tree.add(tokens[i], parents[i]);
    }
    void learn(const weir::round_outcome& o) {
      if (told != nullptr) told->push_back(o);
    }
    void reset() {}
    ids tokens;
    std::vector<std::size_t> parents;
    std::vector<weir::round_outcome>* told;
  };
};

template <class D>
weir::draft_tree tree_of(typename D::state& state, const D& drafter) {
  return weir_test::drafted(state, 0, drafter.limits());
}

static_assert(weir::drafts_singly<weir::ngram_cache::state>);
static_assert(!weir::drafts_singly<weir::prompt_lookup::state>);
static_assert(weir::drafter<combined<weir::ngram_cache, weir::prompt_lookup>>);

}  // namespace

TEST_CASE("the most confident draft goes on, others are its siblings") {
  const scripted first{{{{}, {a, .7f}}, {{a}, {c, .4f}}}};
  const scripted second{{{{}, {b, .6f}}, {{a}, {d, .9f}}}};
  combined<scripted, scripted> both{{first, second}};
  combined<scripted, scripted>::state state(both, {});
  const auto tree = tree_of(state, both);
  CHECK(weir_test::drafts_of(tree) == ids{a, b, d, c});
  CHECK(weir_test::parents_of(tree) == std::vector<std::size_t>{0, 0, 1, 1});

  // In the order of drafters, if they are as confident; equal drafts are one.
  combined<scripted, scripted> same{
      {scripted{{{{}, {a, .5f}}, {{a}, {b, .5f}}}}, scripted{{{{}, {a, .5f}}, {{a}, {c, .5f}}}}}};
  combined<scripted, scripted>::state equal(same, {});
  CHECK(weir_test::drafts_of(tree_of(equal, same)) == ids{a, b, c});

  // One drafter alone.
  both.asked = 1;
  combined<scripted, scripted>::state alone(both, {});
  CHECK(weir_test::drafts_of(tree_of(alone, both)) == ids{a, c});
}

TEST_CASE("a fused path ends where it is not sure enough") {
  const scripted sure{
      {{{}, {a, .95f}}, {{a}, {b, .9f}}, {{a, b}, {c, .6f}}, {{a, b, c}, {d, .8f}}}};
  combined<scripted> one{{sure}};
  const auto drafts = [&](double confidence) {
    one.confidence = confidence;
    combined<scripted>::state state(one, {});
    return weir_test::drafts_of(tree_of(state, one));
  };
  CHECK(drafts(0) == ids{a, b, c, d});
  CHECK(drafts(.5) == ids{a, b, c});
  CHECK(drafts(.6) == ids{a, b});
  CHECK(drafts(.99).empty());
}

TEST_CASE("trees are merged, the best-ranked first, equal drafts once, as far as there is room") {
  const fixed_tree first{{a, b, c}, {0, 1, 0}}, second{{c, d, a, b, d}, {0, 1, 0, 3, 3}};
  combined<fixed_tree, fixed_tree> both{{first, second}};
  combined<fixed_tree, fixed_tree>::state state(both, {});
  auto tree = tree_of(state, both);
  // a, ab, c; of the second: cd and ad are new.
  CHECK(weir_test::drafts_of(tree) == ids{a, b, c, d, d});
  CHECK(weir_test::parents_of(tree) == std::vector<std::size_t>{0, 1, 0, 3, 1});
  tree.start(0, {.nodes = 4, .depth = 4, .width = 2});
  state.propose({}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{a, b, c, d});
  CHECK(weir_test::is_sound(tree));
  tree.start(0, {.nodes = 9, .depth = 1, .width = 9});
  state.propose({}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{a, c});

  // Fused paths and trees: the first in rank goes first.
  const scripted single{{{{}, {a, .7f}}, {{a}, {d, .9f}}}};
  combined<scripted, fixed_tree> mixed{{single, first}};
  combined<scripted, fixed_tree>::state mixed_state(mixed, {});
  tree = tree_of(mixed_state, mixed);
  CHECK(weir_test::drafts_of(tree) == ids{a, d, b, c});
  CHECK(weir_test::parents_of(tree) == std::vector<std::size_t>{0, 1, 1, 0});
}

TEST_CASE("who is right more often is asked, and others now and then") {
  const fixed_tree good{{a, b}, {0, 1}}, bad{{c}, {0}}, silent{};
  combined<fixed_tree, fixed_tree, fixed_tree> all{{bad, silent, good}};
  all.asked = 1;
  decltype(all)::state state(all, {});
  weir::draft_tree tree(all.limits());
  std::size_t good_rounds = 0, late_bad_rounds = 0;
  for (std::uint64_t round = 0; round < 300; ++round) {
    tree.start(0, all.limits());
    state.propose({.round = round}, tree);
    REQUIRE(tree.drafts() > 0);  // the silent one does not count as asked
    const bool was_good = tree.token(1) == a;
    good_rounds += was_good;
    late_bad_rounds += round >= 150 && !was_good;
    state.learn({tree.drafts(), tree.deepest(), was_good ? 2u : 0u, 0, 0, 1});
    state.append(ids{a});
    if (was_good) {
      state.append(ids{b});
      state.append(ids{9});
    }
  }
  CHECK(good_rounds > 290);
  CHECK(late_bad_rounds == 0);
  CHECK(state.acceptance()[0] < .5);
  CHECK(state.acceptance()[1] == .5);
  CHECK(state.acceptance()[2] > .9);
}

TEST_CASE("a bonus brings drafters back that were not asked lately") {
  const fixed_tree fine{{a}, {0}}, other{{c}, {0}};
  combined<fixed_tree, fixed_tree> both{{fine, other}};
  both.asked = 1;
  both.bonus = .9;
  decltype(both)::state state(both, {});
  weir::draft_tree tree(both.limits());
  std::size_t others = 0;
  for (std::uint64_t round = 0; round < 200; ++round) {
    tree.start(0, both.limits());
    state.propose({.round = round}, tree);
    const bool right = tree.token(1) == (round < 100 ? a : c);
    others += round >= 190 && tree.token(1) == c;
    state.learn({1, 1, right, 0, 0, 1});
    state.append(ids{round < 100 ? a : c});
    if (right) state.append(ids{9});
  }
  CHECK(others >= 9);  // who was wrong at first took over
}

TEST_CASE("drafters learn of their own drafts, by what the stream went on to say") {
  std::vector<weir::round_outcome> first, second;
  combined<fixed_tree, fixed_tree> both{
      {fixed_tree{{a, b, c}, {0, 1, 2}, &first}, fixed_tree{{d, a}, {0, 0}, &second}}};
  decltype(both)::state state(both, {});
  weir::draft_tree tree(both.limits());
  tree.start(0, both.limits());
  state.propose({}, tree);
  CHECK(tree.drafts() == 4);  // a b c, d
  // The stream: a b d. Behind b the first one was wrong.
  state.learn({4, 3, 2, 1, .5, 5});
  for (const auto t : {a, b, d}) state.append(ids{t});
  CHECK(first.empty());
  state.append(ids{a, a, a});  // a prompt: nothing to judge by
  tree.start(0, both.limits());
  state.propose({.round = 1}, tree);
  REQUIRE(first.size() == 1);
  REQUIRE(second.size() == 1);
  CHECK(first[0].drafts == 3);
  CHECK(first[0].depth == 3);
  CHECK(first[0].accepted == 2);
  CHECK(first[0].pass_seconds == .5);
  CHECK(first[0].pass_rows == 5);
  CHECK(first[0].draft_seconds < .5);
  CHECK(second[0].drafts == 2);
  CHECK(second[0].depth == 1);
  CHECK(second[0].accepted == 1);
  CHECK(state.acceptance()[0] == Approx((2 * (1 - 1 / 64.) + 1) / 5).epsilon(.02));
  // A round that was not told of is not learned from.
  tree.start(0, both.limits());
  state.propose({.round = 2}, tree);
  CHECK(first.size() == 1);
}

TEST_CASE("single drafts are judged behind the fused path") {
  const scripted first{{{{}, {a, .7f}}, {{a}, {c, .4f}}}};
  const scripted second{{{{}, {b, .6f}}, {{a}, {d, .9f}}, {{a, d}, {b, .3f}}}};
  combined<scripted, scripted> both{{first, second}};
  decltype(both)::state state(both, {});
  weir::draft_tree tree = tree_of(state, both);
  CHECK(weir_test::drafts_of(tree) == ids{a, b, d, c, b});
  // The stream: a c. Of the first both are right, of the second neither; what it drafted behind
  // (a, d) was never decided.
  state.learn({5, 3, 2, 0, 0, 1});
  for (const auto t : {a, c, b}) state.append(ids{t});
  const auto rates = state.acceptance();
  CHECK(rates[0] == Approx(.75).epsilon(.01));
  CHECK(rates[1] == Approx(.25).epsilon(.01));
}

TEST_CASE("combined drafters are sound") {
  using weir::lookahead, weir::ngram_cache, weir::prompt_lookup;
  weir_test::check_drafter(combined<prompt_lookup, ngram_cache, lookahead>{
      {prompt_lookup{}, ngram_cache{}, lookahead{}}});
  ngram_cache pairs;
  pairs.longest = 2;
  combined<ngram_cache, ngram_cache> fused{{ngram_cache{}, pairs}};
  fused.drafts = 7;
  fused.confidence = .3;
  weir_test::check_drafter(fused);
  combined<prompt_lookup> one{};
  weir_test::check_drafter(one);
}

TEST_CASE("combined refuses settings without sense") {
  using weir::error::bad_config;
  using one = combined<weir::prompt_lookup>;
  const auto make = [](const one& s) { one::state state(s, {}); };
  weir_test::require_refused<bad_config>([&] { make({.drafts = 0}); }, {"drafts"});
  weir_test::require_refused<bad_config>([&] { make({.asked = 0}); }, {"asked"});
  weir_test::require_refused<bad_config>([&] { make({.memory = 0}); }, {"memory"});
}
