// TOVA, arXiv 2401.06104: a worked example by hand.
#include <weir/cache/eviction/tova.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/testing/policy_bench.hpp>
#include "support/catch.hpp"

using indices = std::vector<std::uint64_t>;

namespace {

/// Five rows that the last must make forgotten, then the example's row.
template <class Bench>
void drive(Bench& b) {
  for (std::size_t n = 1; n <= 5; ++n) {
    b.append();
    std::vector<float> last_only(n, 0.0f);
    last_only.back() = 1;
    for (const std::size_t head : {0u, 1u}) b.observe(0, head, last_only);
  }
  b.append();
  b.observe(0, 0, std::vector<float>{.1f, .3f, .2f, .15f, .15f, .1f});
  b.observe(0, 1, std::vector<float>{.3f, .1f, .2f, .2f, .05f, .15f});
  b.decide();
}

const weir::kv_shape shape{.layers = 1, .q_heads = 2, .kv_heads = 2, .head_dim = 2};

}  // namespace

TEST_CASE("TOVA drops what the newest row attends to least, by the mean over a layer's heads") {
  // Means .2, .2, .2, .175, .1 and .125. Head 0 by itself would drop token 5.
  weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{5}}, shape);
  drive(b);
  CHECK(b.kept(0, 0) == indices{0, 1, 2, 3, 5});
  CHECK(b.kept(0, 1) == indices{0, 1, 2, 3, 5});
  CHECK(std::abs(b.note<0>(3, 0, 0, 0) - .15f) <= 1e-5f);
  CHECK(std::abs(b.note<0>(3, 0, 0, 1) - .2f) <= 1e-5f);
}

TEST_CASE("smaller budgets show the order of the mean row") {
  // .1, .125 and .175 go one after the other; of the three .2 the older ones stay.
  indices left{0, 1, 2, 3, 5};
  for (const std::uint64_t next : {5u, 3u, 2u}) {
    std::erase(left, next);
    weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{left.size()}}, shape, 6);
    drive(b);
    for (const std::size_t head : {0u, 1u}) CHECK(b.kept(0, head) == left);
  }
  // Nothing has gone: each head's row can be read, and their mean.
  weir::testing::policy_bench<weir::keep<weir::tova>> b({weir::tova{6}}, shape, 6);
  drive(b);
  const float mean[] = {.2f, .2f, .2f, .175f, .1f, .125f};
  for (std::uint64_t i = 0; i < 6; ++i)
    CHECK(std::abs((b.note<0>(i, 0, 0, 0) + b.note<0>(i, 0, 0, 1)) / 2 - mean[i]) <= 1e-5f);
}

TEST_CASE("TOVA with a window of 1 never drops the newest token") {
  weir::testing::policy_bench<weir::keep<weir::window, weir::tova>> b(
      {weir::window{1}, weir::tova{1}}, shape, 6);
  drive(b);
  CHECK(b.kept().back() == 5);
  CHECK(b.kept().size() == 2);
}
