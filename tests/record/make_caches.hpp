// How the caches on record are made. Generated translation units include this, one for each list.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/philox.hpp>
#include <weir/presets.hpp>

#include "caches.hpp"

namespace weir_record {

namespace recipes = weir::presets::recipes;

/// Masks; sums of attention; noise; trigonometry; merging, and exponentials in layer budgets.
using every_codec = std::tuple<recipes::streaming_llm, recipes::h2o, recipes::keyformer,
                               recipes::triattention, recipes::d2o>;
/// Masks; sums of attention; trigonometry; merging.
using also_paged =
    std::tuple<recipes::streaming_llm, recipes::h2o, recipes::triattention, recipes::d2o>;
using listed = decltype(std::tuple_cat(recipes::all{}, recipes::calibrated{}, recipes::labelled{}));

/// Centres of no model's queries.
inline std::shared_ptr<const weir::query_centres> made_up_centres(const weir::kv_shape& shape) {
  auto centres = std::make_shared<weir::query_centres>(shape);
  const weir::random_source random{25, 0};
  std::uint64_t drawn = 0;
  const auto number = [&] {
    return static_cast<float>(2 * random.uniform(weir::purpose::trials, drawn++) - 1);
  };
  for (std::size_t layer = 0; layer < shape.layers; ++layer)
    for (std::size_t head = 0; head < shape.q_heads; ++head)
      for (std::size_t pair = 0; pair < centres->pairs(); ++pair) {
        const float x = number(), y = number();
        centres->set(layer, head, pair, {x, y}, 1.5f + number() / 16);
      }
  return centres;
}

template <class Recipe>
constexpr bool only_paged = weir::keep_has_changing_budgets<recipes::keep_of<Recipe>>;

/// In a contiguous layout, unless the preset needs pages.
template <class Codec, class Positions, class Recipe, class Layout = weir::layouts::contiguous>
recorded_cache recorded(std::string_view codec, std::string_view positions,
                        std::string_view layout_name = "") {
  using keep = recipes::keep_of<Recipe>;
  using layout = std::conditional_t<only_paged<Recipe>, weir::layouts::paged, Layout>;
  std::string name(Recipe::name);
  name.append(" ").append(codec).append(" ").append(positions).append(layout_name);
  return {name, [](const weir::kv_shape& shape, std::size_t entries) {
            recipes::ask ask{.entries = entries, .cadence = cadence, .shape = shape};
            if constexpr (recipes::needs_centres<Recipe>) ask.centres = made_up_centres(shape);
            if constexpr (recipes::needs_labels<Recipe>) {
              for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index)
                ask.labels.push_back(head_index % 3 == 1);
              ask.capacity = 512;
            }
            return weir::maker_of<weir::kv_cache<Codec, keep, Positions, layout>>(Recipe::of(ask));
          }};
}

template <class Codec, class Layout, class... Recipes>
cache_list both_positions(std::string_view codec, std::string_view layout,
                          const std::tuple<Recipes...>*) {
  cache_list all;
  const auto add = [&]<class Recipe>(std::type_identity<Recipe>) {
    all.push_back(
        recorded<Codec, weir::positions::original, Recipe, Layout>(codec, "original", layout));
    if constexpr (!weir::keep_needs_original_positions<recipes::keep_of<Recipe>>)
      all.push_back(recorded<Codec, weir::positions::within_cache, Recipe, Layout>(
          codec, "within-cache", layout));
  };
  (add(std::type_identity<Recipes>{}), ...);
  return all;
}
template <class Codec>
cache_list in_contiguous(std::string_view codec) {
  return both_positions<Codec, weir::layouts::contiguous>(codec, "",
                                                          static_cast<every_codec*>(nullptr));
}
template <class Codec>
cache_list in_paged(std::string_view codec) {
  return both_positions<Codec, weir::layouts::paged>(codec, " paged",
                                                     static_cast<also_paged*>(nullptr));
}

template <class Recipe, class... Others>
constexpr bool is_among(const std::tuple<Others...>*) {
  return (std::is_same_v<Recipe, Others> || ...);
}

template <std::size_t Part>
cache_list part_of_presets() {
  cache_list all;
  const auto add = [&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
    using recipe = std::tuple_element_t<I, listed>;
    if constexpr (I % preset_parts == Part && !is_among<recipe>(static_cast<every_codec*>(nullptr)))
      all.push_back(recorded<weir::f16, weir::positions::original, recipe>("f16", "original"));
  };
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (add(std::integral_constant<std::size_t, I>{}), ...);
  }(std::make_index_sequence<std::tuple_size_v<listed>>{});
  return all;
}

}  // namespace weir_record
