#include <weir/reducers/hired.hpp>

#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/refusal.hpp"

using weir::reducers::hired;
using weir::reducers::tiling;

namespace {

using counts = std::vector<std::size_t>;

hired two_side_by_side() {
  hired h;
  h.width = h.height = h.across = 2;
  h.down = 1;
  h.rate = .5;
  return h;
}

const std::vector<float> early{.4f, .1f, .3f, .2f};

}  // namespace

TEST_CASE("tiles share the budget by what the early layer marks in them") {
  hired h = two_side_by_side();
  CHECK(h.budgets(early) == counts{3, 3, 0});
  CHECK(h.budgets(std::vector<float>{.1f, .4f, .2f, .3f}) == counts{3, 0, 3});
  h.tiles = tiling::bands;
  CHECK(h.budgets(early) == counts{3, 1, 1});
  h.exact = true;
  CHECK(h.budgets(early) == counts{3, 2, 1});
  h.tiles = tiling::rectangles;
  CHECK(h.budgets(early) == counts{3, 3, 0});
}

TEST_CASE("a partition keeps what the late layer attends to") {
  const hired h = two_side_by_side();
  CHECK(h.select(std::vector<float>{.3f, .1f, .4f, .2f}, 3) == counts{0, 2, 3});
  CHECK(h.select(std::vector<float>{1, 1, 1, 1}, 2) == counts{0, 1});
  CHECK(h.select(std::vector<float>{std::numeric_limits<float>::quiet_NaN(), 0, -1, 2}, 3) ==
        counts{1, 2, 3});
  CHECK(h.select(early, 9) == counts{0, 1, 2, 3});
  CHECK(h.select(early, 0).empty());
}

TEST_CASE("no partition keeps more than it has, and exact budgets use all there are") {
  hired h;  // 2 × 2 tiles of 24 × 24 tokens
  std::vector<float> corner(576);
  for (std::size_t y = 12; y < 24; ++y)
    for (std::size_t x = 0; x < 12; ++x) corner[y * 24 + x] = 1;
  CHECK(h.budgets(corner) == counts{288, 72, 72, 144, 0});  // ties fill six rows
  h.alpha = .75;                                            // 144 marks, all in the corner
  CHECK(h.budgets(corner) == counts{432, 0, 0, 144, 0});
  h.rate = 1;
  h.alpha = .8;
  CHECK(h.budgets(corner) == counts{576, 0, 0, 576, 0});
  h.exact = true;
  const counts full = h.budgets(corner);
  CHECK(full == counts(5, 576));
  CHECK(hired{.rate = 0}.budgets(corner) == counts(5, 0));
}

TEST_CASE("attention of the wrong length and impossible rates are refused") {
  const auto refused = [](const hired& h, std::size_t n) { h.budgets(std::vector<float>(n)); };
  using weir::error::bad_config, weir::error::bad_input;
  weir_test::require_refused<bad_input>([&] { refused({}, 575); }, {"575", "expected 576"});
  weir_test::require_refused<bad_config>([&] { refused({.rate = 1.5}, 576); }, {"rate", "1.5"});
  weir_test::require_refused<bad_config>([&] { refused({.alpha = -1}, 576); }, {"alpha", "-1"});
  weir_test::require_refused<bad_config>([&] { refused({.across = 0}, 576); }, {"0 × 2"});
  weir_test::require_refused<bad_input>([] { hired{}.select(std::vector<float>(3), 1); },
                                        {"3 tokens", "expected 576"});
}
