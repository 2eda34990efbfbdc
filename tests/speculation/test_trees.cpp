// Trees of drafts: their limits, fixed shapes chosen by expected acceptance, and trees that grow
// by value, on worked numbers.
#include <weir/speculation/drafters/dynamic_tree.hpp>
#include <weir/speculation/drafters/static_tree.hpp>
#include <weir/speculation/tree_shape.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::require_refused;
using draft = tree_shape::draft;
constexpr std::size_t root = tree_shape::root;

/// A draft model's stream whose distribution depends on the path of drafts alone, letters from 'a'
/// on.
struct spelled_stream {
  struct model_type {
    struct {
      std::size_t vocab_size = 3;
    } config;
    std::map<std::string, std::vector<float>> distribution;
  };
  struct keep_type {};
  struct options_type {
    std::size_t chunk = 8;
    executor* workers = nullptr;
  };
  struct cache_type {
    std::size_t finals_room() const { return 100; }
    std::size_t room() const { return 100; }
    std::size_t draft_room(std::size_t) const { return deepest; }
    std::size_t deepest = 100;
  };

  spelled_stream(const model_type& m, const keep_type&, const options_type&, const draft_limits&)
      : model(&m) {}
  static std::size_t required_bytes(const model_type&, const keep_type&, const options_type&,
                                    const draft_limits&) {
    return 0;
  }
  const cache_type& cache() const { return cache_; }
  bool is_open() const { return !path.empty(); }
  void open(std::span<const token_id> tokens) {
    path.assign(tokens.size(), "");
    set();
  }
  void extend(std::span<const token_id> tokens, std::span<const row> rows) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      path.push_back(path[static_cast<std::size_t>(rows[i].parent)] +
                     static_cast<char>('a' + tokens[i]));
    reads.push_back(path.back());
    set();
  }
  void row_logits(std::size_t first, std::size_t n, float* out) const {
    for (std::size_t i = 0; i < n; ++i) {
      const std::vector<float> x = logits_of(path[first + i]);
      std::copy(x.begin(), x.end(), out + i * x.size());
    }
  }
  std::span<const float> logits() const { return last; }
  void commit(std::span<const std::size_t>) { path.clear(); }
  void feed(std::span<const token_id>) {}
  void reset() { path.clear(); }

  std::vector<float> logits_of(const std::string& at) const {
    const auto found = model->distribution.find(at);
    std::vector<float> x =
        found != model->distribution.end() ? found->second : std::vector{.4f, .3f, .3f};
    for (float& p : x) p = std::log(p);
    return x;
  }
  void set() { last = logits_of(path.back()); }

  const model_type* model;
  cache_type cache_;
  std::vector<std::string> path;  // of each row
  std::vector<float> last;
  static inline std::vector<std::string> reads;
};

using distribution = std::vector<float>;

const spelled_stream::model_type& spelled() {
  static const spelled_stream::model_type model = [] {
    spelled_stream::model_type m;
    m.distribution = {{"", distribution{.6f, .3f, .1f}},
                      {"a", distribution{.2f, .7f, .1f}},
                      {"ab", distribution{.1f, .1f, .8f}},
                      {"abc", distribution{.9f, .05f, .05f}}};
    return m;
  }();
  return model;
}

std::vector<std::string> paths(const draft_tree& tree) {
  std::vector<std::string> all{""};
  for (draft_tree::node n = 1; n < tree.size(); ++n)
    all.push_back(all[tree.parent(n)] + static_cast<char>('a' + tree.token(n)));
  return {all.begin() + 1, all.end()};
}

template <class Drafter>
std::vector<std::string> proposed(const Drafter& drafter, const draft_limits& limits) {
  executor alone;
  typename Drafter::state state(drafter, {.vocabulary = 3, .layers = 1, .threads = &alone});
  const token_id start = 0;
  state.append({&start, 1});
  draft_tree tree(drafter.limits());
  tree.start(start, limits);
  state.propose({.index = 1}, tree);
  return paths(tree);
}

basic_dynamic_tree<spelled_stream, sibling_kind::point_mass> grown(std::size_t nodes) {
  return {.source = {.model = &spelled()},
          .nodes = nodes,
          .depth = 6,
          .width = 4,
          .learns = false,
          .distribution = sampling{.temperature = 1}};
}

}  // namespace

TEST_CASE("the best tree takes the most valuable ranks") {
  const std::vector<std::vector<double>> accepted{{.5, .2, .1}, {.4, .15, .05}};
  const tree_shape five = best_tree(accepted, 5);
  REQUIRE(five.nodes == std::vector<draft>{{root, 0}, {root, 1}, {root, 2}, {0, 0}, {1, 0}});
  CHECK(expected_accepted(five, accepted) == Approx(1.08));
  const draft_limits limits = five.limits();
  CHECK(limits.nodes == 5);
  CHECK(limits.depth == 2);
  CHECK(limits.width == 3);
  // No tree of as many nodes is worth more: every set closed under parents and elder siblings.
  for (std::size_t n = 1; n <= 6; ++n) {
    const double best = expected_accepted(best_tree(accepted, n), accepted);
    for (std::size_t a = 1; a <= 3; ++a) {
      double value = 0;
      std::vector<double> below;
      for (std::size_t i = 0; i < a; ++i) {
        value += accepted[0][i];
        for (const double x : accepted[1]) below.push_back(accepted[0][i] * x);
      }
      std::sort(below.rbegin(), below.rend());
      if (a > n) continue;
      for (std::size_t i = 0; i < std::min(n - a, below.size()); ++i) value += below[i];
      CHECK(best >= value - 1e-12);
    }
  }
  CHECK(best_tree(accepted, 100).nodes.size() == 12);
  CHECK(best_tree({}, 5).nodes.empty());
  // A pass that costs the same for up to 3 rows and much more beyond is used for 2 drafts.
  const auto cost = [](std::size_t n) { return n <= 3 ? 1.0 : 9.0; };
  CHECK(best_tree_for(accepted, 8, cost).nodes.size() == 2);
  CHECK(best_tree_for(accepted, 8, [](std::size_t n) { return double(n * n); }).nodes.empty());
}

TEST_CASE("shapes that are no trees are refused") {
  const auto refuse = [](std::vector<draft> nodes, std::string_view part) {
    require_refused<error::bad_config>([&] { tree_shape{nodes}.validate(); }, {part});
  };
  refuse({{0, 0}}, "node 0 has parent 0");
  refuse({{root, 0}, {0, 0}, {root, 1}}, "node 2 is 1 deep, behind one 2 deep");
  refuse({{root, 1}, {root, 1}}, "node 1 repeats a sibling's rank 1");
  tree_shape::chain(3).validate();
  CHECK(tree_shape::chain(3).limits().depth == 3);
}

TEST_CASE("a tree holds no more than its limits") {
  draft_tree tree({.nodes = 4, .depth = 2, .width = 2});
  tree.start(9, {.nodes = 10, .depth = 10, .width = 10});
  const auto a = tree.add(1, 0), b = tree.add(2, 0);
  CHECK(tree.add(3, 0) == draft_tree::none);  // width
  const auto c = tree.add(3, a);
  CHECK(tree.add(4, c) == draft_tree::none);  // depth
  CHECK(tree.add(4, b) != draft_tree::none);
  CHECK(tree.add(5, a) == draft_tree::none);  // nodes
  CHECK(tree.drafts() == 4);
  CHECK(tree.deepest() == 2);
  CHECK(tree.child_with(0, 2) == b);
  CHECK(tree.child_with(0, 7) == draft_tree::none);
  CHECK(tree.child(b) == 4);
  tree.start(9, {.nodes = 1, .depth = 1, .width = 1});
  CHECK(tree.size() == 1);
  CHECK(tree.add(1, 0) == 1);
  CHECK_FALSE(tree.has_room(0));
}

TEST_CASE("a tree grows where a draft is worth most") {
  // 1 → a .6; a → ab .42; ab → abc .336; the root again: .4 · (.3 / .4) = .3 → b. Next would be
  // abc's child, .3024, ahead of b.
  spelled_stream::reads.clear();
  CHECK(proposed(grown(4), {4, 6, 4}) == std::vector<std::string>{"a", "ab", "abc", "b"});
  CHECK(spelled_stream::reads ==
        std::vector<std::string>{"a", "ab"});  // only what is drafted behind
  CHECK(proposed(grown(5), {5, 6, 4}) == std::vector<std::string>{"a", "ab", "abc", "b", "abca"});
  CHECK(proposed(grown(4), {4, 2, 4}) == std::vector<std::string>{"a", "ab", "b", "ba"});
  CHECK(proposed(grown(4), {4, 6, 1}) == std::vector<std::string>{"a", "ab", "abc", "abca"});
  CHECK(proposed(grown(4), {0, 0, 0}).empty());

  auto by_depths = grown(8);
  by_depths.threshold = .3;
  CHECK(proposed(by_depths, {8, 6, 4}) ==
        std::vector<std::string>{"a", "b", "ab", "abc", "abca", "abcaa"});
}

TEST_CASE("a tree learns what drafts are worth") {
  // What follows is always b: the drafter's second choice.
  auto drafter = grown(2);
  drafter.learns = true;
  executor alone;
  decltype(drafter)::state state(drafter, {.vocabulary = 3, .layers = 1, .threads = &alone});
  const token_id b = 1;
  draft_tree tree(drafter.limits());
  std::vector<std::string> first, last;
  for (int round = 0; round < 40; ++round) {
    state.append({&b, 1});
    tree.start(b, {2, 6, 4});
    state.propose({.index = 1, .round = std::uint64_t(round)}, tree);
    (round == 0 ? first : last) = paths(tree);
  }
  CHECK(first == std::vector<std::string>{"a", "ab"});
  CHECK(last == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a fixed tree drafts by rank") {
  const basic_static_tree<spelled_stream> drafter{
      .source = {.model = &spelled()}, .shape = {{{root, 0}, {root, 1}, {0, 0}, {0, 2}, {2, 0}}}};
  CHECK(proposed(drafter, {5, 3, 2}) == std::vector<std::string>{"a", "b", "ab", "ac", "abc"});
  CHECK(proposed(drafter, {5, 1, 2}) == std::vector<std::string>{"a", "b"});
  CHECK(proposed(drafter, {3, 3, 2}) == std::vector<std::string>{"a", "b", "ab"});
  executor alone;
  const auto make = [&](auto d) {
    typename decltype(d)::state s(d, {.vocabulary = 3, .layers = 1, .threads = &alone});
  };
  auto wrong = drafter;
  wrong.shape.nodes[3].rank = 3;
  require_refused<error::bad_config>([&] { make(wrong); }, {"rank 3", "below the vocabulary of 3"});
  wrong = drafter;
  wrong.source.model = nullptr;
  require_refused<error::bad_config>([&] { make(wrong); }, {"draft model: none given"});
  spelled_stream::model_type other;
  other.config.vocab_size = 5;
  wrong.source.model = &other;
  require_refused<error::bad_config>([&] { make(wrong); },
                                     {"vocabulary of 5", "expected the target's 3"});
}
