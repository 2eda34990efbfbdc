// Heads and layers may follow lists of their own: what every policy must do, such lists do.
#include <cstdint>
#include <vector>

#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/per_head.hpp>

#include "conformance/check_lists.hpp"

namespace {

using small = keep<sinks, window>;
using scored = keep<sinks, window, heavy_hitters>;
const std::vector<std::uint8_t> labels = {1, 0, 0, 1};

testing::conformance_options unlike_heads() {
  testing::conformance_options o;
  o.heads_are_alike = false;
  return o;
}

}  // namespace

TEST_CASE("heads that forget beside heads that keep all") {
  check_lists(
      [](std::size_t n) {
        return per_head<small, keep_all>{{sinks{4}, window{n - 4}}, keep_all{8000}, labels};
      },
      unlike_heads());
  SUCCEED();
}

TEST_CASE("heads that score beside heads that do not") {
  check_lists(
      [](std::size_t n) {
        return per_head<small, scored>{
            {sinks{4}, window{n - 4}}, {sinks{1}, window{n / 2}, heavy_hitters{n / 4}}, labels};
      },
      unlike_heads());
  SUCCEED();
}
