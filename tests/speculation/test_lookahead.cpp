#include <weir/speculation/drafters/lookahead.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "speculation/drafter_checks.hpp"
#include "support/refusal.hpp"

using weir::lookahead, weir::token_trie, weir::trie_writer;
using weir_test::ids;

namespace {

using run = std::vector<weir::token_id>;

void write(token_trie& trie, const ids& tokens, std::size_t length) {
  trie_writer writer(length);
  for (const auto t : tokens) writer.write(trie, t);
}

token_trie::node at(const token_trie& trie, const run& tokens) {
  token_trie::node n = token_trie::root;
  for (const auto t : tokens)
    if ((n = trie.child(n, t)) == token_trie::none) break;
  return n;
}
float frequency(const token_trie& trie, const run& tokens) {
  const auto n = at(trie, tokens);
  return n == token_trie::none ? 0 : trie.frequency(n);
}

/// All runs in a trie, with their frequencies.
std::map<run, float> runs_of(const token_trie& trie) {
  std::map<run, float> out;
  const auto walk = [&](auto& self, token_trie::node n, run path) -> void {
    for (auto c = trie.first_child(n); c != token_trie::none; c = trie.next_sibling(c)) {
      run longer = path;
      longer.push_back(trie.token(c));
      out[longer] = trie.frequency(c);
      self(self, c, longer);
    }
  };
  walk(walk, token_trie::root, {});
  return out;
}

std::map<run, float> counted(const ids& tokens, std::size_t length) {
  std::map<run, float> out;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    for (std::size_t n = 1; n <= length && i + n <= tokens.size(); ++n)
      ++out[run(tokens.begin() + static_cast<std::ptrdiff_t>(i),
                tokens.begin() + static_cast<std::ptrdiff_t>(i + n))];
  return out;
}

/// Frequencies halved, and what was seen once dropped.
std::map<run, float> squeezed(std::map<run, float> runs) {
  std::erase_if(runs, [](const auto& r) { return r.second <= 1; });
  for (auto& r : runs) r.second /= 2;
  return runs;
}

lookahead small(std::shared_ptr<token_trie> shared = nullptr) {
  return {.drafts = 8, .depth = 3, .width = 8, .nodes = 1000, .shared = std::move(shared)};
}

}  // namespace

TEST_CASE("a prompt and what others said make the published tree") {
  const auto shared = std::make_shared<token_trie>(1000);
  write(*shared, {1, 2, 3, 9}, 4);
  auto settings = small(shared);
  settings.teaches = false;
  lookahead::state state(settings, {});
  state.append(ids{1, 2, 3, 1, 2, 4});

  CHECK(frequency(state.own(), {1, 2}) == 2);
  CHECK(frequency(state.own(), {1, 2, 3}) == 1);
  CHECK(frequency(state.own(), {1, 2, 3, 1}) == 1);
  CHECK(frequency(state.own(), {1, 2, 4}) == 1);
  CHECK(frequency(*shared, {1, 2, 3, 9}) == 1);
  CHECK(settings.score(1, 1) == Approx(1.));
  CHECK(settings.score(1, 0) == Approx(.9999));

  weir::draft_tree tree(settings.limits());
  tree.start(2, settings.limits());
  state.propose_behind(ids{1, 2}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{3, 1, 9, 4});
  CHECK(weir_test::parents_of(tree) == std::vector<std::size_t>{0, 1, 1, 0});

  // The request ends, others say it twice more, the trie is squeezed.
  state.reset();
  write(*shared, {1, 2, 3, 9}, 4);
  write(*shared, {1, 2, 3, 9}, 4);
  CHECK(frequency(*shared, {1, 2, 3, 9}) == 3);
  shared->squeeze();
  CHECK(frequency(*shared, {1, 2}) == 1.5f);
  CHECK(frequency(*shared, {1, 2, 3}) == 1.5f);
  CHECK(frequency(*shared, {1, 2, 3, 9}) == 1.5f);
  tree.start(2, settings.limits());
  state.propose_behind(ids{1, 2}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{3, 9});
}

TEST_CASE("a trie holds every run of its length") {
  const ids tokens = weir_test::random_tokens(400, 5, 3);
  token_trie trie(2000);
  write(trie, tokens, 4);
  CHECK(runs_of(trie) == counted(tokens, 4));
  CHECK(trie.size() == counted(tokens, 4).size());
  trie.squeeze();
  CHECK(runs_of(trie) == squeezed(counted(tokens, 4)));
  trie.squeeze();
  CHECK(runs_of(trie) == squeezed(squeezed(counted(tokens, 4))));
  trie.clear();
  CHECK(trie.size() == 0);
  write(trie, {1, 2}, 4);
  CHECK(runs_of(trie) == counted({1, 2}, 4));
}

TEST_CASE("a full trie is squeezed, and what is frequent stays") {
  const ids noise = weir_test::random_tokens(20000, 1000, 4);
  token_trie trie(500);
  trie_writer writer(4);
  std::size_t most = 0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    writer.write(trie, noise[i]);
    if (i % 10 == 0)
      for (const weir::token_id t : {2001, 2002, 2003}) writer.write(trie, t);
    most = std::max(most, trie.size());
  }
  CHECK(most == 500);
  CHECK(frequency(trie, {2001, 2002, 2003}) > 0);
  // Parents are never seen less than their children.
  for (const auto& [tokens, f] : runs_of(trie))
    if (tokens.size() > 1) CHECK(frequency(trie, {tokens.begin(), tokens.end() - 1}) >= f);
}

TEST_CASE("a trie of one node works") {
  token_trie trie(1);
  trie_writer writer(3);
  for (const auto t : weir_test::random_tokens(100, 3, 5)) writer.write(trie, t);
  CHECK(trie.size() <= 1);
}

TEST_CASE("shorter queries are tried where longer ones bring little") {
  lookahead::state state(small(), {});
  // Behind (8, 2) only 5 was seen; behind 2 also 3 4 6.
  state.append(ids{2, 3, 4, 6, 7, 8, 2, 5});
  weir::draft_tree tree(small().limits());
  tree.start(2, tree.limits());
  state.propose_behind(ids{8, 2}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{5, 3, 4, 6});
  // A shorter query that brings less does not replace a longer one.
  lookahead::state other(small(), {});
  other.append(ids{8, 2, 5});
  tree.start(2, tree.limits());
  other.propose_behind(ids{8, 2}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{5});
  // Nor one that could not bring more.
  other.append(ids{6, 2, 7, 7, 7});
  tree.start(2, tree.limits());
  other.propose_behind(ids{8, 2}, tree);
  CHECK(weir_test::drafts_of(tree) == ids{5, 6});
  tree.start(2, tree.limits());
  other.propose_behind(ids{77, 78}, tree);
  CHECK(tree.drafts() == 0);
}

TEST_CASE("some drafts are left to what others said") {
  const auto shared = std::make_shared<token_trie>(1000);
  for (int i = 0; i < 3; ++i) write(*shared, {1, 50}, 4);
  write(*shared, {1, 51}, 4);
  lookahead settings{.drafts = 4, .depth = 1, .width = 4, .nodes = 100, .shared = shared};
  settings.teaches = false;
  const auto drafts = [&](double part) {
    settings.shared_part = part;
    lookahead::state state(settings, {});
    state.append(ids{1, 10, 1, 10, 1, 11, 1, 12, 1, 13, 1, 14});
    weir::draft_tree tree(settings.limits());
    tree.start(1, tree.limits());
    state.propose_behind(ids{1}, tree);
    return weir_test::drafts_of(tree);
  };
  CHECK(drafts(0) == ids{10, 14, 13, 12});
  CHECK(drafts(.5) == ids{10, 14, 50, 51});
  CHECK(drafts(.25) == ids{10, 14, 13, 50});
  // What they leave goes back.
  CHECK(drafts(1) == ids{10, 14, 50, 51});
}

TEST_CASE("streams learn from each other while they run, unless they keep to themselves") {
  const auto shared = std::make_shared<token_trie>(1000);
  lookahead settings = small(shared);
  lookahead::state a(settings, {}), b(settings, {});
  settings.teaches = false;
  lookahead::state quiet(settings, {});
  quiet.append(ids{30, 31, 32, 33});
  a.append(ids{1, 2, 3, 4});
  b.append(ids{7, 1, 2});
  CHECK(weir_test::drafts_of(weir_test::drafted(b, 2, settings.limits())) == ids{3, 4});
  b.append(ids{30, 31});
  CHECK(weir_test::drafted(b, 31, settings.limits()).drafts() == 0);
  b.reset();
  b.append(ids{2});
  CHECK(weir_test::drafts_of(weir_test::drafted(b, 2, settings.limits())) == ids{30, 31, 3, 4});
}

TEST_CASE("nothing is remembered across the end of a text") {
  auto settings = small();
  settings.end_of_text = 99;
  lookahead::state state(settings, {});
  state.append(ids{1, 2, 99, 3, 4, 1, 2});
  CHECK(frequency(state.own(), {2, 99}) == 1);
  CHECK(frequency(state.own(), {99, 3}) == 0);
  CHECK(weir_test::drafts_of(weir_test::drafted(state, 2, settings.limits())) == ids{99});
}

TEST_CASE("the tree is the best by score that fits, closed under parents") {
  // Against every subtree that could be picked greedily: the sum of scores of what is picked.
  const ids tokens = weir_test::random_tokens(600, 4, 11);
  lookahead settings{.drafts = 9, .depth = 4, .width = 3, .query = 2, .nodes = 5000};
  lookahead::state state(settings, {});
  state.append(tokens);
  const ids last{tokens[598], tokens[599]};
  const auto runs = counted(tokens, 5);
  weir::draft_tree tree(settings.limits());
  tree.start(last[1], tree.limits());
  state.propose_behind(last, tree);
  CHECK(tree.drafts() == 9);
  // Best first, where width lets it.
  std::set<run> open, picked;
  std::map<std::size_t, std::size_t> width;
  const auto open_children = [&](const run& r) {
    if (r.size() == 5) return;
    for (weir::token_id t = 0; t < 4; ++t) {
      run longer = r;
      longer.push_back(t);
      if (runs.count(longer) != 0) open.insert(longer);
    }
  };
  open_children(last);
  float sum = 0;
  while (picked.size() < 9) {
    const run* best = nullptr;
    for (const run& r : open)
      if (width[r.size()] < 3 && (best == nullptr || runs.at(r) > runs.at(*best))) best = &r;
    if (best == nullptr) break;
    const run r = *best;
    open.erase(r);
    picked.insert(r);
    ++width[r.size()];
    sum += runs.at(r);
    open_children(r);
  }
  float got = 0;
  for (weir::draft_tree::node n = 1; n < tree.size(); ++n) {
    run r;
    for (auto at = n; at != 0; at = tree.parent(at)) r.insert(r.begin(), tree.token(at));
    r.insert(r.begin(), last.begin(), last.end());
    REQUIRE(runs.count(r) == 1);
    got += runs.at(r);
  }
  CHECK(got == sum);
  // A width of one: the best path.
  settings.width = 1;
  lookahead::state path(settings, {});
  path.append(tokens);
  CHECK(weir_test::parents_of(weir_test::drafted(path, last[1], settings.limits())) ==
        std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE("lookahead is a sound drafter") {
  weir_test::check_drafter(lookahead{});
  weir_test::check_drafter(lookahead{.drafts = 5, .depth = 9, .width = 2, .nodes = 300});
  const auto shared = std::make_shared<token_trie>(700);
  weir_test::check_drafter(
      lookahead{
          .drafts = 64, .depth = 12, .width = 64, .query = 3, .nodes = 3000, .shared = shared},
      40, false);
  const std::size_t before = weir_test::bytes_asked();
  const token_trie trie(12345);
  CHECK(weir_test::bytes_asked() - before == token_trie::required_bytes(12345));
}

TEST_CASE("lookahead refuses settings without sense") {
  using weir::error::bad_config;
  const auto make = [](lookahead s) { lookahead::state state(s, {}); };
  weir_test::require_refused<bad_config>([&] { make({.drafts = 0}); }, {"0 drafts"});
  weir_test::require_refused<bad_config>([&] { make({.query = 0}); }, {"query 0"});
  weir_test::require_refused<bad_config>([&] { make({.nodes = 0}); }, {"0 nodes"});
  weir_test::require_refused<bad_config>([&] { make({.shared_part = 2}); }, {"shared_part"});
}
