// Where budgets change, entries move from tile to tile: what policies noted of an entry, its key
// and its value go with it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include <weir/cache/eviction/adaptive_heads.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/testing/policy_bench.hpp>
#include <weir/testing/probe_tokens.hpp>
#include "support/catch.hpp"

namespace {

constexpr weir::kv_shape shape{.layers = 2, .q_heads = 2, .kv_heads = 2, .head_dim = 4};
constexpr std::size_t cadence = 32, boundaries = 40, turn = 6;

/// The k-th number of a token in one head: not that of another token, head or k.
float number(std::uint64_t index, std::size_t head, std::size_t k) {
  return static_cast<float>(weir::testing::mix(index * 64 + head * 32 + k) >> 40);
}
std::vector<float> numbers(std::uint64_t index, std::size_t head, std::size_t k) {
  std::vector<float> x(shape.head_dim);
  for (float& one : x) one = number(index, head, k++);
  return x;
}

/// Keeps tokens at random, and notes two numbers of each.
struct noting {
  std::size_t budget = 0, first = 0;  ///< number

  std::size_t notes(const weir::kv_shape&) const { return 2; }
  void on_append(const weir::slots_view& view, weir::slot s, const weir::token_info&) const {
    for (const std::size_t k : {0u, 1u})
      view.note(s, k) = number(view.index(s).value, view.kv_head(), first + k);
  }
  float score(const weir::slots_view& view, weir::slot s) const {
    return number(view.index(s).value, view.kv_head(), 31);
  }
};

/// The same, 40 entries in one layer and 200 in the other, which change places every few
/// boundaries.
struct layers_in_turn : noting {
  float layer_statistic(const weir::slots_view& view) const {
    return static_cast<float>(view.boundary().value / cadence);
  }
  void allocate_layers(const weir::kv_shape&, std::span<const float> boundary,
                       std::span<std::size_t> budgets) const {
    const std::size_t large = static_cast<std::size_t>(boundary[0]) / turn % 2;
    budgets[large] = 200;
    budgets[1 - large] = 40;
  }
};

/// The same with larger scores in one head of a layer, which change places every few boundaries.
struct heads_in_turn : noting {
  float score(const weir::slots_view& view, weir::slot s) const {
    const bool ahead = view.boundary().value / cadence / turn % 2 == view.kv_head();
    return noting::score(view, s) * (ahead ? 4.0f : 1.0f);
  }
};

template <class Policy>
void entries_stay_themselves(const Policy& policy) {
  weir::testing::policy_bench bench(weir::keep(noting{2, 0}, policy), shape, cadence);
  using entry = std::tuple<std::size_t, std::size_t, std::uint64_t>;  // layer, head, index
  const auto for_each_entry = [&](auto use) {
    for (std::size_t layer = 0; layer < shape.layers; ++layer)
      for (std::size_t head = 0; head < shape.kv_heads; ++head)
        for (const std::uint64_t i : bench.kept(layer, head)) use(layer, head, i);
  };
  std::size_t moved = 0, shrunk = 0, grown = 0, size = 0;
  for (std::uint64_t next = 0; next < boundaries * cadence;) {
    for (std::size_t i = 0; i < cadence; ++i, ++next) {
      std::vector<float> keys, values;
      for (std::size_t head = 0; head < shape.kv_heads; ++head) {
        std::ranges::copy(numbers(next, head, 4), std::back_inserter(keys));
        std::ranges::copy(numbers(next, head, 8), std::back_inserter(values));
      }
      bench.append(keys, values);
    }
    std::map<entry, weir::tile_place> before;
    for_each_entry([&](std::size_t layer, std::size_t head, std::uint64_t i) {
      before[{layer, head, i}] = bench.place(i, layer, head);
    });
    bench.decide();
    for_each_entry([&](std::size_t layer, std::size_t head, std::uint64_t i) {
      moved += bench.place(i, layer, head) != before.at({layer, head, i});
      for (const std::size_t k : {0u, 1u}) {
        REQUIRE(bench.template note<0>(i, k, layer, head) == number(i, head, k));
        REQUIRE(bench.template note<1>(i, k, layer, head) == number(i, head, 2 + k));
      }
      REQUIRE(bench.key(i, layer, head) == numbers(i, head, 4));
      REQUIRE(bench.value(i, layer, head) == numbers(i, head, 8));
    });
    const std::size_t now = bench.kept(0, 0).size();
    shrunk += size > now ? size - now : 0;
    grown += now > size ? now - size : 0;
    size = now;
  }
  // Or this would show nothing.
  CHECK(moved > 100);
  CHECK(shrunk > 200);
  CHECK(grown > 200);
}

}  // namespace

TEST_CASE("entries keep their notes, keys and values while layers' budgets change") {
  entries_stay_themselves(layers_in_turn{{120, 2}});
}

TEST_CASE("entries keep their notes, keys and values while heads' budgets change") {
  entries_stay_themselves(weir::adaptive_heads(heads_in_turn{{120, 2}}));
}
