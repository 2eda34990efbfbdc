// Every preset has the properties that every policy must have: with this codec and these positions,
// at three cadences, in both layouts, under speculation and chunks of any size. Generated
// translation units include this, one for each codec and position policy.
#pragma once
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <weir/cache/eviction/per_head.hpp>
#include <weir/presets.hpp>
#include <weir/testing/conformance.hpp>

#include "support/catch.hpp"

namespace {

using namespace weir;
using codec = WEIR_CODEC;
using numbering = positions::WEIR_POSITIONS;

/// Policies that draw a number for each head, or look at heads by number.
constexpr std::string_view tell_heads_apart[] = {"keyformer", "kvcrush", "random"};

testing::conformance_options options_for(std::string_view name) {
  testing::conformance_options o;
  for (const std::string_view other : tell_heads_apart)
    if (name == other) o.heads_are_alike = false;
  return o;
}

template <class Recipe>
void check_recipe() {
  using Keep = presets::recipes::keep_of<Recipe>;
  if constexpr (!(numbering::renumbers && keep_needs_original_positions<Keep>)) {
    const auto make = [](std::size_t n) { return Recipe::of({.entries = n, .cadence = 32}); };
    INFO(Recipe::name);
    for (const std::string& broken :
         testing::broken_properties<codec, numbering>(make, options_for(Recipe::name)))
      FAIL_CHECK(broken);
  }
}

/// Centres of the probe tokens' queries.
std::shared_ptr<const query_centres> centres_of(const kv_shape& shape) {
  query_centre_sums sums(shape);
  testing::layer_rows x;
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    testing::make_rows(shape, testing::names_of(50, 7), layer, x);
    sums.add(layer, x.q);
  }
  return std::make_shared<query_centres>(sums.centres());
}

template <class... Recipes>
void check_all(const std::tuple<Recipes...>*) {
  (check_recipe<Recipes>(), ...);
}

}  // namespace

TEST_CASE("every preset does what every policy must") {
  check_all(static_cast<presets::recipes::all*>(nullptr));
  SUCCEED();
}

TEST_CASE("so does a calibrated one, told apart by its heads' centres") {
  if constexpr (!numbering::renumbers) {
    testing::conformance_options o;
    o.heads_are_alike = false;
    const auto centres = centres_of(o.shape);
    const auto make = [&](std::size_t n) {
      return presets::recipes::triattention::of({.entries = n, .centres = centres});
    };
    for (const std::string& broken : testing::broken_properties<codec, numbering>(make, o))
      FAIL_CHECK(broken);
  }
  SUCCEED();
}

TEST_CASE("heads and layers may follow lists of their own") {
  using small = keep<sinks, window>;
  using scored = keep<sinks, window, heavy_hitters>;
  testing::conformance_options o;
  o.heads_are_alike = false;
  const std::vector<std::uint8_t> labels = {1, 0, 0, 1};
  const auto masks = [&](std::size_t n) {
    return per_head<small, keep_all>{{sinks{4}, window{n - 4}}, keep_all{8000}, labels};
  };
  for (const std::string& broken : testing::broken_properties<codec, numbering>(masks, o))
    FAIL_CHECK(broken);
  const auto mixed = [&](std::size_t n) {
    return per_head<small, scored>{
        {sinks{4}, window{n - 4}}, {sinks{1}, window{n / 2}, heavy_hitters{n / 4}}, labels};
  };
  for (const std::string& broken : testing::broken_properties<codec, numbering>(mixed, o))
    FAIL_CHECK(broken);
  SUCCEED();
}
