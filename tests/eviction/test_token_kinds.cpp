#include <weir/cache/eviction/token_kinds.hpp>
#include <weir/testing/policy_bench.hpp>

#include <vector>

#include "eviction/hand_head.hpp"
#include "support/catch.hpp"

using weir::kind_window;
using weir::token_kinds;
using weir::testing::hand_head;

namespace {

constexpr std::uint8_t text = 1, vision = 2, format = 3;

using indices = std::vector<std::uint64_t>;

/// Indices of the entries of these kinds that `policy` selects; `taken` went before.
template <class Policy>
indices selected(const Policy& policy, const std::vector<std::uint8_t>& kinds,
                 std::vector<std::uint8_t> taken = {}) {
  hand_head head(policy, 1, std::vector<std::vector<float>>(kinds.size(), {0}));
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    weir::token_info came;
    came.kind = kinds[i];
    policy.on_append(head.view(), head.at(i), came);
  }
  taken.resize(kinds.size());
  const auto before = taken;
  const auto view = head.view();
  weir::selection open(view, taken, policy.budget);
  policy.select(open);
  indices out;
  for (std::size_t i = 0; i < kinds.size(); ++i)
    if (taken[i] && !before[i]) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("a kind keeps its first and its last tokens") {
  const token_kinds policy{kind_window{text, 3, 2}};
  CHECK(policy.budget == 5);
  CHECK(selected(policy, {text, text, text, text, text, text, text, text}) ==
        indices{0, 1, 5, 6, 7});
  CHECK(selected(policy, {text, text, text}) == indices{0, 1, 2});
}

TEST_CASE("each kind has a window of its own, and unnamed kinds have none") {
  const token_kinds policy{kind_window{text, 2, 1}, kind_window{vision, 3}};
  CHECK(policy.budget == 6);
  CHECK(selected(policy, {format, vision, text, vision, text, vision, vision, text, format, text,
                          vision}) == indices{2, 5, 6, 7, 9, 10});
}

TEST_CASE("what an earlier policy selected is still part of its kind's windows") {
  const token_kinds policy{kind_window{text, 2, 1}};
  CHECK(selected(policy, {text, text, text, text, text}, {1, 0, 0, 0, 1}) == indices{3});
}

TEST_CASE("rounds lose their vision first and keep their text") {
  weir::kv_shape shape;
  shape.layers = shape.q_heads = shape.kv_heads = 1;
  shape.head_dim = 1;
  // Rounds of two vision tokens and one text token; two rounds' vision is seen, the newest's too.
  weir::testing::policy_bench bench(
      weir::keep(token_kinds{kind_window{text, 3, 2}, kind_window{vision, 2}}), shape, 3);
  const auto round = [&] {
    for (const std::uint8_t kind : {vision, vision, text}) {
      weir::token_info came;
      came.kind = kind;
      bench.append({}, {}, came);
    }
    bench.decide();
    return bench.kept();
  };
  CHECK(round() == indices{0, 1, 2});
  CHECK(round() == indices{2, 3, 4, 5});  // a's vision is gone, b is intact
  CHECK(round() == indices{2, 5, 6, 7, 8});
  for (int i = 0; i < 5; ++i) round();
  CHECK(bench.kept() == indices{2, 5, 17, 20, 21, 22, 23});  // texts 0 1 5 6 7
}
