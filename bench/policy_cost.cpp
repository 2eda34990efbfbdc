// What deciding costs: each policy against the same kept set given for free.
//
//   policy_cost [ENTRIES [CADENCE [BLOCKS [POLICY]]]]      (1024, 32, 64, all)
//
// One token after the other through the attention of Llama-3-8B (32 layers of 32 query heads, 8 KV
// heads, head_dim 128), f16, two threads: more than processors' caches hold, as in use. A policy
// runs once to write down what it keeps at each boundary; then it runs again, in turns with a
// policy that only looks that up, token by token. Costs are medians over BLOCKS at each place
// behind a boundary, added up. Prints a Markdown table: means of rounds, each in new memory, and
// their standard error.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/presets.hpp>
#include <weir/testing/drive_cache.hpp>
#include "support/timing.hpp"

namespace {

using namespace weir;
using weir_bench::mean_error;
using weir_bench::median;
using weir_bench::seconds_of;

constexpr std::size_t layers = 32, rounds = 4;
constexpr kv_shape shape{.layers = layers,
                         .q_heads = 32,
                         .kv_heads = 8,
                         .head_dim = 128,
                         .rope = {.dims = 128, .base = 500000}};

/// What was kept: stream indices by boundary and KV head.
using kept_sets = std::vector<std::vector<std::vector<std::uint64_t>>>;

/// Keeps what it is told to.
struct replay {
  std::size_t budget = 0;
  const kept_sets* sets = nullptr;
  std::size_t cadence = 1;
  void select(selection& open) const {
    const slots_view& view = open.view();
    const auto& set = (*sets)[view.boundary().value / cadence - 1]
                             [view.layer() * shape.kv_heads + view.kv_head()];
    std::size_t next = 0;
    for (std::size_t i = 0; i < open.size() && next < set.size(); ++i)
      if (view.index(view.at(i)).value == set[next]) open.take(i), ++next;
  }
};

/// Rows that come round again; each layer its own.
struct rows_of_tokens {
  static constexpr std::size_t tokens = 64;
  std::array<row, tokens> of_step = {};  ///< what a step is told of its rows
  std::vector<testing::layer_rows> by_layer;
  rows_of_tokens() : by_layer(layers) {
    const auto names = testing::names_of(tokens, 1);
    for (std::size_t layer = 0; layer < layers; ++layer)
      testing::make_rows(shape, names, layer, by_layer[layer]);
  }
};

/// Appends `n` tokens, at most max_rows and the step's room.
template <class Cache>
void append(Cache& cache, rows_of_tokens& rows, std::size_t n = 1) {
  constexpr std::size_t q = shape.q_heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  const std::size_t t = cache.length() % rows_of_tokens::tokens;
  auto step = cache.begin(std::span(rows.of_step).first(n));
  for (std::size_t layer = 0; layer < layers; ++layer) {
    testing::layer_rows& x = rows.by_layer[layer];
    step.attend(layer, std::span(x.q).subspan(t * q, n * q), std::span(x.k).subspan(t * kv, n * kv),
                std::span(x.v).subspan(t * kv, n * kv), std::span(x.out).first(n * q));
  }
  step.commit();
  if constexpr (Cache::wants_log_probabilities)
    for (std::uint64_t i = cache.length() - n; i < cache.length(); ++i)
      cache.tell_log_probability(i, testing::log_probability_of(i + 1));
}

/// The first `tokens` tokens, many at a time.
template <class Cache>
void fill(Cache& cache, rows_of_tokens& rows, std::size_t tokens) {
  while (cache.length() < tokens) {
    const std::size_t left = tokens - cache.length(),
                      before_round = rows.tokens - cache.length() % rows.tokens;
    append(cache, rows,
           std::min({left, before_round, cache.options().max_rows,
                     static_cast<std::size_t>(cache.finals_room())}));
  }
}

/// What the rows' queries have in common.
std::shared_ptr<const query_centres> centres() {
  query_centre_sums sums(shape);
  const rows_of_tokens rows;
  for (std::size_t layer = 0; layer < layers; ++layer) sums.add(layer, rows.by_layer[layer].q);
  return std::make_shared<query_centres>(sums.centres());
}

struct setting {
  std::size_t entries, cadence, blocks;
};

/// Seconds a token of the free policy, and what the other costs on top, as a share of them.
struct cost {
  double seconds;
  mean_error extra;
};

template <class Keep>
cost measure(const Keep& keep, const setting& s, executor& threads) {
  using Layout =
      std::conditional_t<keep_has_changing_budgets<Keep>, layouts::paged, layouts::contiguous>;
  using cache_type = kv_cache<f16, Keep, positions::original, Layout>;
  using free_type = kv_cache<f16, weir::keep<replay>, positions::original, Layout>;
  rows_of_tokens rows;
  cache_options options{
      .max_rows = 32, .may_take_back = false, .cadence = s.cadence, .threads = &threads};
  const std::size_t block = std::max<std::size_t>(s.cadence, 8);
  const std::size_t warm = (s.entries / s.cadence + 2) * s.cadence;
  const std::size_t blocks = s.blocks / rounds, tokens = warm + (blocks + 1) * block;

  kept_sets sets;
  std::size_t most = 0;
  {
    cache_type cache(shape, keep, options);
    if (!keep_has_changing_budgets<Keep>) most = cache.max_entries() - s.cadence;
    for (std::size_t t = 0; t < tokens; ++t) {
      append(cache, rows);
      const std::uint64_t boundary = cache.length() - 1;  // it ran before the token came
      if (boundary == 0 || boundary % s.cadence != 0) continue;
      sets.emplace_back(shape.total_kv_heads());
      for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index) {
        auto& set = sets.back()[head_index];
        cache.for_each_index(head_index / shape.kv_heads, head_index % shape.kv_heads,
                             [&](stream_index i) {
                               if (i.value < boundary) set.push_back(i.value);
                             });
        most = std::max(most, set.size());
      }
    }
  }
  // Where memory happens to lie is worth some per cent: so each round takes new caches, the other
  // one first, and a head's slots lie as far from the next one's in both.
  const weir::keep<replay> lookup{replay{std::max<std::size_t>(most, 2), &sets, s.cadence}};
  std::vector<double> seconds, extras;  // of each round
  for (std::size_t round = 0; round < rounds; ++round) {
    std::optional<cache_type> cache;
    std::optional<free_type> free;
    if (round % 2 == 0) cache.emplace(shape, keep, options);
    free.emplace(shape, lookup, options);
    if (round % 2 == 1) cache.emplace(shape, keep, options);
    fill(*cache, rows, warm);
    fill(*free, rows, warm);
    // Token by token in turns, and the median of each place behind a boundary: what disturbs one
    // token disturbs few.
    std::vector<std::vector<double>> base(block), extra(block);
    for (std::size_t t = 0; t < blocks * block; ++t) {
      const auto time = [&](auto& c) { return seconds_of([&] { append(c, rows); }); };
      const bool first = (t + round / 2) % 2 == 0;  // whoever goes second finds warmer caches
      double mine = first ? time(*cache) : 0;
      base[t % block].push_back(time(*free));
      if (!first) mine = time(*cache);
      extra[t % block].push_back(mine - base[t % block].back());
    }
    double whole = 0, more = 0;  // of a block: of the free policy, and on top
    for (std::size_t t = 0; t < block; ++t) whole += median(base[t]), more += median(extra[t]);
    seconds.push_back(whole / static_cast<double>(block));
    extras.push_back(more / whole);
  }
  return {mean_error(seconds).mean, mean_error(extras)};
}

template <class Recipe>
void report(const setting& s, executor& threads) {
  using Keep = presets::recipes::keep_of<Recipe>;
  if constexpr (is_positional_keep<Keep>) {
    std::printf("| %s | a mask: nothing to decide | |\n", std::string(Recipe::name).c_str());
  } else {
    const cost c = measure(
        Recipe::of(
            {.entries = s.entries, .cadence = s.cadence, .shape = shape, .centres = centres()}),
        s, threads);
    std::printf("| %s | %.1f | %.1f ± %.1f |\n", std::string(Recipe::name).c_str(), c.seconds * 1e6,
                c.extra.mean * 100, c.extra.error * 100);
  }
  std::fflush(stdout);
}

template <class... Recipes>
void report_all(const std::tuple<Recipes...>*, const setting& s, const std::string& only,
                executor& threads) {
  const auto one = [&]<class Recipe>(std::type_identity<Recipe>) {
    if (only.empty() || only == Recipe::name) report<Recipe>(s, threads);
  };
  (one(std::type_identity<Recipes>{}), ...);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const setting s{number(1, 1024), number(2, 32), number(3, 64)};
  thread_pool threads(2);
  std::printf("| policy | attention, µs a token | deciding, %% of it |\n|---|---|---|\n");
  const std::string only = argc > 4 ? argv[4] : "";
  report_all(static_cast<presets::recipes::all*>(nullptr), s, only, threads);
  report_all(static_cast<presets::recipes::calibrated*>(nullptr), s, only, threads);
  report_all(static_cast<presets::recipes::labelled*>(nullptr), s, only, threads);
}
