// Every preset has the properties that every policy must have: with every codec and both kinds of
// positions, at three cadences, in both layouts, under speculation and chunks of any size.
// Generated translation units include this, each with every WEIR_PARTS-th preset from number
// WEIR_PART on: a translation unit compiles a policy once for all caches that have the policy.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <weir/presets.hpp>

#include "conformance/check_allocation.hpp"
#include "conformance/check_lists.hpp"

namespace {

using namespace weir;

/// Policies that draw a number for each head, or look at heads by number.
constexpr std::string_view tell_heads_apart[] = {"keyformer", "kvcrush", "random"};

testing::conformance_options options_for(std::string_view name) {
  testing::conformance_options o;
  for (const std::string_view other : tell_heads_apart)
    if (name == other) o.heads_are_alike = false;
  return o;
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

/// The presets of this part.
template <std::size_t I = WEIR_PART, class Check>
void for_each_preset(const Check& check) {
  if constexpr (I < std::tuple_size_v<presets::recipes::all>) {
    using recipe = std::tuple_element_t<I, presets::recipes::all>;
    INFO(recipe::name);
    check.template operator()<recipe>();
    for_each_preset<I + WEIR_PARTS>(check);
  }
}

}  // namespace

TEST_CASE("a preset does what every policy must") {
  for_each_preset([]<class Recipe>() {
    check_lists([](std::size_t n) { return Recipe::of({.entries = n, .cadence = 32}); },
                options_for(Recipe::name));
  });
  SUCCEED();
}

TEST_CASE("a calibrated one does, told apart by its heads' centres") {
  for_each_preset([]<class Recipe>() {
    if constexpr (std::is_same_v<Recipe, presets::recipes::triattention>) {
      testing::conformance_options o;
      o.heads_are_alike = false;
      check_lists([centres = centres_of(o.shape)](
                      std::size_t n) { return Recipe::of({.entries = n, .centres = centres}); },
                  o);
    }
  });
  SUCCEED();
}

TEST_CASE("a preset takes the memory that it announces when its cache is made, and none after") {
  for_each_preset([]<class Recipe>() { check_allocation<Recipe>(); });
}
