#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/token_surprisal.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>

#include <cmath>
#include <vector>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::token_surprisal;
using weir::testing::hand_head;
using weir::testing::near;

namespace {

/// One KV head that was told P(x_i | x_<i) of each token.
struct surprised_head : hand_head {
  surprised_head(const token_surprisal& m, const std::vector<double>& p)
      : hand_head(m, 1, std::vector<std::vector<float>>(p.size(), {0})), policy(m) {
    for (std::size_t i = 0; i < p.size(); ++i) tell(i, static_cast<float>(std::log(p[i])));
  }
  void tell(std::size_t i, float log_probability) {
    weir::token_info came;
    came.log_probability = log_probability;
    policy.on_append(view(), at(i), came);
  }
  double surprisal(std::size_t i) {
    const float score = policy.score(view(), at(i));
    return policy.decay == 1 ? score : std::exp(score);
  }

  const token_surprisal& policy;
};

// The first token's probability is nobody's draft.
const std::vector<double> paper{1, .5, .01, .25, .9, .05};
const std::vector<double> expected{4.6052, .6931, 4.6052, 1.3863, .1054, 2.9957};

}  // namespace

TEST_CASE("surprisal is minus the log-probability; the first token has the interval's largest") {
  const token_surprisal policy{3};
  surprised_head head(policy, paper);
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::fabs(head.surprisal(i) - expected[i]) < 5e-5);
  CHECK(head.policy.score(head.view(), head.at(0)) == head.policy.score(head.view(), head.at(2)));
}

TEST_CASE("surprisal fades at every boundary from the first after a token's own") {
  const token_surprisal policy{3, .7f};
  surprised_head head(policy, paper);
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::fabs(head.surprisal(i) - expected[i]) < 5e-5);
  head.boundary = 12;
  const double faded[] = {3.2236, .4852, 3.2236, .9704, .0738, 2.0970};
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::fabs(head.surprisal(i) - faded[i]) < 5e-5);
  head.boundary = 18;
  CHECK(near(head.surprisal(5), -std::log(.05) * .49));
  // Tokens of the second interval are a boundary younger, wherever the stream began.
  head.first_index = 512;
  head.boundary = 512 + 12;
  for (std::size_t i = 0; i < 6; ++i) head.indices()[i] = 512 + 5 + i;
  head.tell(1, static_cast<float>(std::log(.25)));
  CHECK(near(head.surprisal(0), expected[0] * .7));
  CHECK(near(head.surprisal(1), 2 * std::log(2)));
}

TEST_CASE("tokens that came later do not raise the first token's surprisal") {
  const token_surprisal policy{3};
  surprised_head head(policy, {1, .5});
  head.cadence = 2;
  head.indices()[1] = 3;
  head.boundary = 4;
  head.tell(1, -9);
  CHECK(near(head.surprisal(0), std::log(2)));
  CHECK(near(head.surprisal(1), 9));
}

TEST_CASE("a thousand boundaries do not make old tokens alike") {
  const token_surprisal policy{3, .7f};
  surprised_head head(policy, paper);
  head.boundary = 6000;
  const auto score = [&](std::size_t i) { return policy.score(head.view(), head.at(i)); };
  CHECK(score(2) > score(5));
  CHECK(score(5) > score(3));
  CHECK(std::isfinite(score(4)));
}

TEST_CASE("what is certain ranks lowest, decay or not") {
  for (const float decay : {1.0f, .7f, 0.0f}) {
    const token_surprisal policy{3, decay};
    surprised_head head(policy, {1, 1, .5});
    CHECK(head.surprisal(1) == 0);
    CHECK(head.surprisal(2) > 0);
    head.boundary = 6;
    CHECK(head.surprisal(1) == 0);
    CHECK_FALSE(std::isnan(policy.score(head.view(), head.at(1))));
  }
}

TEST_CASE("the most surprising stay, and recent tokens fill what is left") {
  weir::kv_shape shape;
  shape.layers = 2;
  shape.q_heads = shape.kv_heads = 1;
  shape.head_dim = 1;
  const auto kept = [&](const auto& list) {
    weir::testing::policy_bench bench(list, shape, 6);
    for (std::size_t i = 0; i < 6; ++i) {
      weir::token_info came;
      came.log_probability = i == 0 ? 0 : static_cast<float>(std::log(paper[i]));
      bench.append({}, {}, came);
    }
    bench.decide();
    CHECK(bench.kept(0) == bench.kept(1));
    return bench.kept();
  };
  using indices = std::vector<std::uint64_t>;
  CHECK(kept(weir::keep(token_surprisal{3}, weir::window{1})) == indices{0, 2, 4, 5});
  CHECK(kept(weir::keep(weir::sinks{1}, token_surprisal{2}, weir::window{1})) ==
        indices{0, 2, 4, 5});
  CHECK(kept(weir::keep(token_surprisal{2})) == indices{0, 2});  // a tie: the older
}
