// Plans of masks: PPD's construction on worked numbers, and what a plan promises beside what a
// stream of rounds brings.
#include <weir/speculation/best_mask_plan.hpp>
#include <weir/speculation/mask_plan.hpp>

#include <cmath>
#include <numeric>
#include <vector>

#include <weir/core/philox.hpp>

#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::require_refused;
using table = std::vector<std::vector<double>>;
using numbers = std::vector<double>;
using counts = std::vector<std::size_t>;
constexpr std::size_t root = tree_shape::root;

void require_near(const numbers& a, const numbers& b, double within = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) < within);
}

}  // namespace

TEST_CASE("a round ends at a node as often as it comes by and goes to no child") {
  const table accepted{{.5, .2, .1}, {.4, .15, .05}};
  const tree_shape shape = best_tree(accepted, 5);
  REQUIRE(shape.nodes ==
          std::vector<tree_shape::draft>{{root, 0}, {root, 1}, {root, 2}, {0, 0}, {1, 0}});
  require_near(node_values(shape, accepted), {1, .5, .2, .1, .2, .08});
  CHECK(std::abs(expected_accepted(shape, accepted) - 1.08) < 1e-12);
  require_near(stop_chances(shape, accepted), {.2, .3, .12, .1, .2, .08});
  require_near(next_states(stop_chances(shape, accepted), counts{0, 2, 1, 1, 2, 1}, 3),
               {.2, .3, .5});
}

TEST_CASE("rounds settle into states") {
  const table next{{0, 0, 1}, {.2, .3, .5}, {.1, .2, .7}};
  require_near(stationary(next), {.108911, .198020, .693069}, 5e-7);
  CHECK(std::abs(tokens_a_round(next, numbers{0, .8, 1.25}) - 2.024752) < 5e-7);
  // One that runs in a circle, one that stays where it came to, one that never leaves.
  require_near(stationary({{0, 1}, {1, 0}}), {.5, .5}, 1e-9);
  require_near(stationary({{0, 0, 1}, {0, 1, 0}, {0, 0, 1}}), {0, 0, 1}, 1e-9);
  require_near(stationary({{1}}), {1});
}

TEST_CASE("masks go where they bring least") {
  const numbers stop{.2, .5, .3}, gain{0, 1, 1.5};
  CHECK(mask_counts(stop, gain, 9) == counts{2, 2, 2});
  CHECK(mask_counts(stop, gain, 8) == counts{1, 2, 2});  // .2 · .5
  CHECK(mask_counts(stop, gain, 7) == counts{1, 2, 1});  // .3 · .5
  CHECK(mask_counts(stop, gain, 6) == counts{0, 2, 1});  // .2 · 1
  CHECK(mask_counts(stop, gain, 5) == counts{0, 1, 1});
  require_refused<error::bad_config>([&] { (void)mask_counts(stop, gain, 4); },
                                     {"5 rows", "of 3 nodes", "expected at most 4"});
}

TEST_CASE("the best plan within so many rows, one mask and one draft") {
  const table accepted{{.5}};
  // Too few rows for a draft with a mask: a mask is read in vain.
  CHECK(tokens_a_round(best_mask_plan(accepted, 2), accepted) == 1);
  // A draft with a mask, the root without: every round that accepts nothing is followed by one
  // without drafts. Two thirds of the rounds draft.
  const mask_plan three = best_mask_plan(accepted, 3);
  REQUIRE(three.trees == std::vector<masked_tree>{{{}, {1}}, {tree_shape::chain(1), {0, 1}}});
  CHECK(std::abs(tokens_a_round(three, accepted) - 4. / 3) < 1e-9);
  const mask_plan four = best_mask_plan(accepted, 4);
  REQUIRE(four.trees == std::vector<masked_tree>{{{}, {1}}, {tree_shape::chain(1), {1, 1}}});
  CHECK(std::abs(tokens_a_round(four, accepted) - 1.5) < 1e-9);
  CHECK(best_mask_plan(accepted, 40).trees == four.trees);

  // 1 token for 1; 4/3 for 1.1; 3/2 for 1.3.
  const numbers cost{1, 1, 1.1, 1.3, 2, 3};
  const auto of = [&](std::size_t rows) { return cost[rows - 1]; };
  CHECK(best_mask_plan_for(accepted, 6, of).trees == three.trees);
  const auto steep = [](std::size_t rows) { return static_cast<double>(rows); };
  CHECK(best_mask_plan_for(accepted, 6, steep).trees.empty());
  const auto flat = [](std::size_t) { return 1.0; };
  CHECK(best_mask_plan_for(accepted, 6, flat).trees == four.trees);
}

TEST_CASE("masks behind every node, and behind the last") {
  const mask_plan quadratic = mask_plan::quadratic(2), linear = mask_plan::linear(2);
  const table accepted{{.5}, {.5}};
  CHECK(quadratic.trees[2].rows() == 9);
  CHECK(linear.trees[2].rows() == 5);
  CHECK(linear.trees[0].masks == counts{2});
  CHECK(linear.trees[2].masks == counts{0, 0, 2});
  CHECK(std::abs(tokens_a_round(quadratic, accepted) - 1.75) < 1e-9);
  CHECK(std::abs(tokens_a_round(linear, accepted) - (1 + .75 / 1.75)) < 1e-9);
  const draft_limits limits = quadratic.limits();
  CHECK(limits.nodes == 2);
  CHECK(limits.depth == 2);
  CHECK(limits.width == 1);
  CHECK(limits.masks.each == 2);
  CHECK(limits.masks.rows == 8);
  CHECK(limits.masks.depth == 4);
  CHECK(limits.masks.width == 3);  // the last draft, the root's second mask, the other's first
  CHECK(limits.rows() == 8);
  CHECK(linear.limits().masks.rows == 4);
  CHECK(mask_plan{}.limits().rows() == 0);
  for (const mask_plan& plan : {quadratic, linear, mask_plan{}, mask_plan::quadratic(5)})
    plan.validate();
}

TEST_CASE("a plan brings what it promises") {
  const table accepted{{.6, .15, .08, .04}, {.4, .15, .05}, {.25, .1}};
  double last = 1;
  for (const std::size_t rows : {2u, 4u, 6u, 9u, 14u, 20u}) {
    const mask_plan plan = best_mask_plan(accepted, rows);
    plan.validate();
    for (const masked_tree& t : plan.trees) CHECK(t.rows() <= rows);
    CHECK(plan.limits().rows() <= rows - 1);
    const double promised = tokens_a_round(plan, accepted);
    CHECK(promised >= last - 1e-9);  // more rows, no less
    last = promised;

    const random_source random{5, rows};
    constexpr std::size_t rounds = 200'000;
    std::size_t state = 0, tokens = 0, draws = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      const masked_tree& t = plan.trees[state];
      std::size_t at = root, depth = 0;
      for (bool goes_on = true; goes_on && depth < accepted.size();) {
        double u = random.uniform(purpose::drafting, draws++);
        goes_on = false;
        for (std::size_t n = 0; n < t.shape.nodes.size(); ++n) {
          if (t.shape.nodes[n].parent != at) continue;
          if (u < accepted[depth][t.shape.nodes[n].rank]) {
            at = n;
            ++depth;
            goes_on = true;
            break;
          }
          u -= accepted[depth][t.shape.nodes[n].rank];
        }
      }
      tokens += 1 + depth;
      state = t.masks[at + 1];  // root + 1 is 0
    }
    INFO(rows << " rows");
    CHECK(std::abs(static_cast<double>(tokens) / rounds - promised) < .015);
  }
  CHECK(last > 1.7);
}

TEST_CASE("plans that cannot be are refused") {
  const auto refuse = [](mask_plan plan, std::initializer_list<std::string_view> parts) {
    require_refused<error::bad_config>([&] { plan.validate(); }, parts);
  };
  mask_plan plan = mask_plan::quadratic(2);
  plan.trees[1].masks.pop_back();
  refuse(plan, {"state 1", "behind 1 nodes", "expected 2"});
  plan = mask_plan::quadratic(2);
  plan.trees[1] = plan.trees[2];
  refuse(plan, {"state 1", "2 deep", "expected at most 1"});
  plan = mask_plan::quadratic(2);
  plan.trees[2].masks[1] = 3;
  refuse(plan, {"state 2", "3 masks", "expected at most 2"});
  plan = mask_plan::quadratic(2);
  plan.trees[0].masks[0] = 0;
  refuse(plan, {"state 0", "no masks behind the root"});
  require_refused<error::bad_config>([] { (void)best_mask_plan({}, 8); }, {"no acceptance"});
  const table accepted{{.5}};
  require_refused<error::bad_config>([&] { (void)best_mask_plan(accepted, 1); },
                                     {"1 rows", "expected at least 2"});
}

TEST_CASE("masks take what room there is") {
  const draft_limits most = mask_plan::quadratic(2).limits();
  draft_tree tree(most);
  CHECK(tree.bytes() == draft_tree::required_bytes(most));
  CHECK(draft_tree::required_bytes({.nodes = 2, .depth = 2}) + 3 * 4 == tree.bytes());
  const auto masks_of = [&](const draft_limits& now) {
    tree.start(1, now);
    tree.add(2, tree.add(3, 0));
    for (draft_tree::node n = 0; n < tree.size(); ++n) tree.set_masks(n, 2);
    counts all;
    for (draft_tree::node n = 0; n < tree.size(); ++n) all.push_back(tree.masks(n));
    CHECK(std::accumulate(all.begin(), all.end(), std::size_t{0}) == tree.masks());
    return all;
  };
  CHECK(masks_of(most) == counts{2, 2, 2});
  draft_limits now = most;
  now.masks.depth = 3;
  CHECK(masks_of(now) == counts{2, 2, 1});
  now.masks.depth = 2;
  CHECK(masks_of(now) == counts{2, 1, 0});
  now = most;
  now.masks.rows = 5;
  CHECK(masks_of(now) == counts{2, 1, 0});
  now = {};
  CHECK(masks_of(now) == counts{0});
  draft_tree plain(draft_limits{.nodes = 1, .depth = 1});
  plain.set_masks(0, 1);
  CHECK(plain.masks(0) == 0);
}
