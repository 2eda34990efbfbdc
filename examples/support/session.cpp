#include "session.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>

#include <weir/cache/codec/concept.hpp>
#include <weir/core/error.hpp>
#include <weir/presets.hpp>

#include "cache_makers.hpp"
#include "session_of.hpp"

namespace tool {

namespace {

namespace recipes = weir::presets::recipes;

/// Presets whose authors count positions within the cache; accllm's may.
constexpr std::string_view renumbered[] = {"streaming-llm", "accllm",          "sirllm",
                                           "streaming-vlm", "rolling-forcing", "motion-stream"};

/// Fixed budgets that differ from layer to layer.
template <class Policy>
concept budgets_by_layer =
    requires(const Policy& m, const weir::kv_shape& s) { m.budget_for(s, 0, 0); };
template <class Keep>
constexpr bool has_budgets_by_layer = false;
template <class... Policies>
constexpr bool has_budgets_by_layer<weir::keep<Policies...>> = (budgets_by_layer<Policies> || ...);

template <class Recipe>
preset_facts facts_of() {
  using keep = recipes::keep_of<Recipe>;
  return {.name = Recipe::name,
          .positional = weir::is_positional_keep<keep>,
          .original_only = weir::keep_needs_original_positions<keep>,
          .renumbered = std::ranges::find(renumbered, Recipe::name) != std::end(renumbered),
          .calibrated = recipes::needs_centres<Recipe>,
          .labelled = recipes::needs_labels<Recipe>,
          .uneven = weir::keep_has_changing_budgets<keep> || has_budgets_by_layer<keep>};
}

using preset_function = cache_maker(const cache_choice&, const weir::kv_shape&);
using listed = decltype(std::tuple_cat(recipes::all{}, recipes::calibrated{}, recipes::labelled{}));
constexpr std::size_t preset_count = std::tuple_size_v<listed>;

/// Presets and, under the same numbers, what makes their caches.
const auto known = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<preset_facts, preset_count>{facts_of<std::tuple_element_t<I, listed>>()...};
}(std::make_index_sequence<preset_count>{});
constexpr auto makers = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<preset_function*, preset_count>{
      &preset_cache<std::tuple_element_t<I, listed>>...};
}(std::make_index_sequence<preset_count>{});

}  // namespace

cache_maker maker_for(const cache_choice& c, const weir::llama_model& model) {
  require_offered(c);
  if (const preset_facts* preset = find_preset(c.policy))
    return makers[static_cast<std::size_t>(preset - known.data())](c, weir::shape_of(model.config));
  if (c.codec == "f32") return plain_cache<weir::f32>(c);
  if (c.codec == "bf16") return plain_cache<weir::bf16>(c);
  if (c.codec == "int8") return plain_cache<weir::int8>(c);
  if (c.codec == "int4") return plain_cache<weir::int4>(c);
  return plain_cache<weir::f16>(c);
}

std::span<const preset_facts> presets() { return known; }

const preset_facts* find_preset(std::string_view policy) {
  const auto* found = std::ranges::find(known, policy, &preset_facts::name);
  return found == known.end() ? nullptr : found;
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names = {"full", "window", "sinks-window"};
  for (const preset_facts& p : known) names.emplace_back(p.name);
  return names;
}

std::string_view positions_of(const cache_choice& c) {
  if (!c.positions.empty()) return c.positions;
  const preset_facts* preset = find_preset(c.policy);
  return c.policy == "full" || (preset != nullptr && !preset->renumbered) ? "original"
                                                                          : "within-cache";
}

std::size_t require_context(const cache_choice& choice, std::uint64_t rows,
                            const weir::llama_model& model) {
  const std::size_t most = model.config.context_length;
  const preset_facts* preset = find_preset(choice.policy);
  const bool keeps_all = choice.policy == "full" || (preset != nullptr && preset->labelled);
  weir::error::require<weir::error::bad_input>(
      !keeps_all || rows <= most, "--policy ", choice.policy, ": ",
      rows == no_end ? "endlessly many" : std::to_string(rows),
      " tokens to feed (expected at most ", most, ", the model's context)");
  return static_cast<std::size_t>(rows);
}

void require_offered(const cache_choice& c) {
  using weir::error::bad_config, weir::error::require;
  constexpr std::size_t least = recipes::ask::least_entries;
  const preset_facts* preset = find_preset(c.policy);
  if (preset == nullptr) return;
  require<bad_config>(c.codec == "f16" || c.codec == "f32", "--codec ", c.codec, ": --policy ",
                      c.policy, " is offered with f16 and f32");
  require<bad_config>(!preset->original_only || positions_of(c) == "original",
                      "--positions within-cache: --policy ", c.policy,
                      " reads keys as they were rotated at their stream index (expected original)");
  require<bad_config>(!preset->calibrated || !c.calibration.empty(), "--policy ", c.policy,
                      ": needs --calibration FILE, which `calibrate` writes");
  require<bad_config>(!preset->labelled || !c.head_table.empty(), "--policy ", c.policy,
                      ": needs --head-table FILE, a row a layer and a column a KV head");
  if (preset->positional) {
    require<bad_config>(c.budget >= least, "--budget: ", c.budget, " (expected ", least,
                        " or more)");
  } else {
    require<bad_config>(c.budget >= c.cadence + least, "--budget: ", c.budget, " (expected ",
                        c.cadence + least, " or more: --cadence ", c.cadence, " and ", least,
                        " entries that stay)");
  }
}

std::unique_ptr<generator> make_generator(const weir::llama_model& model, const cache_choice& c,
                                          weir::decoder_options options) {
  cache_maker maker = maker_for(c, model);
  options.stream.cadence = c.cadence;
  if (maker.wants_log_probabilities)
    return std::make_unique<generator_of<weir::chosen_cache<true>>>(model, std::move(maker),
                                                                    std::move(options));
  return std::make_unique<generator_of<weir::chosen_cache<false>>>(model, std::move(maker),
                                                                   std::move(options));
}

std::unique_ptr<scorer> make_scorer(const weir::llama_model& model, const cache_choice& c,
                                    weir::stream_options options) {
  cache_maker maker = maker_for(c, model);
  options.cadence = c.cadence;
  if (maker.wants_log_probabilities)
    return std::make_unique<scorer_of<weir::chosen_cache<true>>>(model, std::move(maker), options);
  return std::make_unique<scorer_of<weir::chosen_cache<false>>>(model, std::move(maker), options);
}

}  // namespace tool
