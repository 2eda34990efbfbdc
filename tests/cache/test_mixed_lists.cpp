// Heads of one cache under different lists: each sees what it would see alone.
#include <algorithm>
#include <cstddef>
#include <vector>

#include <weir/core/thread_pool.hpp>
#include <weir/presets.hpp>
#include <weir/testing/drive_cache.hpp>

#include "support/catch.hpp"

namespace {

using namespace weir;
using namespace weir::testing;

const kv_shape shape{
    .layers = 2, .q_heads = 4, .kv_heads = 2, .head_dim = 16, .rope = {.dims = 16, .base = 10000}};

using mixed = per_head<presets::h2o, keep_all>;
const std::vector<std::uint8_t> labels = {0, 1, 1, 0};  // [layer, kv_head]

/// The outputs of the heads under `label`, of all of a token's.
std::vector<token_output> of_label(const std::vector<token_output>& all, std::uint8_t label) {
  const std::size_t head_index = shape.group() * shape.head_dim;
  std::vector<token_output> some(all.size());
  for (std::size_t t = 0; t < all.size(); ++t)
    for (std::size_t u = 0; u < labels.size(); ++u)
      if (labels[u] == label)
        some[t].insert(some[t].end(), all[t].begin() + static_cast<std::ptrdiff_t>(u * head_index),
                       all[t].begin() + static_cast<std::ptrdiff_t>((u + 1) * head_index));
  return some;
}

template <class Keep>
std::vector<token_output> outputs(const Keep& keep, std::size_t tokens, std::size_t chunk,
                                  unsigned width) {
  thread_pool threads(width);
  one_cache<kv_cache<f32, Keep>> cache(shape, keep, {.max_rows = 40, .threads = &threads});
  return append(cache, shape, names_of(tokens, 1), chunk);
}

}  // namespace

TEST_CASE("a head that keeps all sees all, beside heads that decide") {
  // More than a split of 512 entries, and several boundaries behind it.
  const std::size_t tokens = 700, chunk = GENERATE(1u, 40u);
  const unsigned width = GENERATE(1u, 2u);
  const auto scored = presets::recipes::h2o::of({.entries = 64});
  const auto both = outputs(mixed{scored, keep_all{1000}, labels}, tokens, chunk, width);
  const auto all = outputs(keep_all{1000}, tokens, 1, 1);
  const auto some = outputs(scored, tokens, 1, 1);
  CHECK(first_difference(of_label(both, 1), of_label(all, 1)) == tokens);
  CHECK(first_difference(of_label(both, 0), of_label(some, 0)) == tokens);
}

TEST_CASE("rows that were drafts are observed alike by one thread and by several") {
  // Keyformer works in scratch memory as it observes; heads of all layers observe at once.
  const kv_shape deep{.layers = 12, .q_heads = 8, .kv_heads = 2, .head_dim = 16};
  const auto keep = presets::recipes::keyformer::of({.entries = 600});
  thread_pool threads(4);
  const auto run = [&](executor* who) {
    one_cache<kv_cache<f32, presets::keyformer>> cache(
        deep, keep, {.max_rows = 40, .max_draft_rows = 8, .threads = who});
    append(cache, deep, names_of(700, 1), 40);
    const std::vector<row> rows(8, row{row::previous, true});
    std::vector<token_output> out;
    for (std::uint64_t round = 0; round < 12; ++round) {
      const auto names = names_of(8, 50 + round);
      const std::size_t n = std::min(rows.size(), cache.draft_room(0));
      if (n == 0) {
        append(cache, deep, names_of(1, 90 + round), 1);
        continue;
      }
      auto step = attend_rows(cache, deep, std::span(rows).first(n), std::span(names).first(n));
      std::vector<std::size_t> path(n);
      for (std::size_t i = 0; i < n; ++i) path[i] = i;
      cache.commit(path);
      out.insert(out.end(), step.begin(), step.end());
    }
    const auto end = append(cache, deep, names_of(100, 99), 10);
    out.insert(out.end(), end.begin(), end.end());
    return out;
  };
  const auto alone = run(nullptr), together = run(&threads);
  CHECK(first_difference(alone, together) == alone.size());
}
