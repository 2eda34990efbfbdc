// Heads see the row that the newest token was drawn from, and what they draft is right as often as
// they are.
#include <weir/speculation/drafters/token_heads.hpp>
#include <weir/testing/drive_cache.hpp>
#include <weir/weir.hpp>

#include <algorithm>
#include <map>

#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using cache = kv_cache<f32, keep<sinks, window>, positions::within_cache>;
const keep<sinks, window> kept{sinks{4}, window{60}};

/// Knows what followed each hidden row when the model said the text before.
struct remembering_heads {
  std::map<std::vector<float>, std::vector<token_id>> after;  // [head]
  std::size_t vocabulary = 0;
  mutable std::size_t asked = 0, known = 0;

  std::size_t heads() const { return 3; }
  void logits(std::size_t k, std::span<const float> hidden, std::span<float> out, executor&) const {
    std::fill(out.begin(), out.end(), 0.0f);
    const auto found = after.find({hidden.begin(), hidden.end()});
    ++asked;
    if (found == after.end()) return;
    ++known;
    out[static_cast<std::size_t>(found->second[k])] = 2;
    out[(static_cast<std::size_t>(found->second[k]) + 1) % vocabulary] = 1;
  }
};

}  // namespace

TEST_CASE("heads that know what comes are always right") {
  const llama_model tiny = load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  batch_options options{.sample = {.temperature = 0.8f}, .stream = {.threads = 1}};
  const std::vector<token_id> prompt = tiny.tokenizer.encode("It was a dark night", true);

  // What it says, and the rows it says it from.
  std::vector<token_id> said;
  stream_batch<cache> plain(tiny, kept, options);
  plain.start(0, prompt, {.max_tokens = 80});
  while (plain.step([&](std::size_t, const emitted_token& t) {
    said.push_back(t.id);
    return true;
  })) {
  }
  remembering_heads heads;
  heads.vocabulary = tiny.config.vocab_size;
  std::vector<token_id> all = prompt;
  all.insert(all.end(), said.begin(), said.end());
  using cache_step_type = cache::step;
  cache rows_cache(shape_of(tiny.config), kept, {.max_rows = 256});
  shared_pass<cache_step_type> pass(tiny, 256, 1, 1, nullptr);
  const std::vector<row> rows(all.size());
  auto step = rows_cache.begin(rows);
  pass.add(step, all);
  pass.run(0, pass.layers(), 0, pass.rows());
  for (std::size_t i = prompt.size() - 1; i + 4 < all.size(); ++i) {
    const auto hidden = pass.hidden(i);
    heads.after[{hidden.begin(), hidden.end()}] = {all[i + 2], all[i + 3], all[i + 4]};
  }
  step.commit();

  using speculation = speculate<token_heads<remembering_heads>>;
  for (const tree_shape& shape :
       {tree_shape::chain(3),
        best_tree(std::vector<std::vector<double>>{{.6, .2}, {.6, .2}, {.5, .2}}, 6)}) {
    stream_batch<cache, speculation> drafting(tiny, kept, options, speculation{{&heads, shape}});
    std::vector<token_id> again;
    drafting.start(0, prompt, {.max_tokens = 72});
    while (drafting.step([&](std::size_t, const emitted_token& t) {
      again.push_back(t.id);
      return true;
    })) {
    }
    REQUIRE(std::equal(again.begin(), again.end(), said.begin()));
    const speculation_counters& c = drafting.stream(0).counters();
    CHECK(c.drafted == c.rounds - 1);  // all but behind the prompt
    CHECK(c.not_at_all == 0);
    CHECK(c.rounds <= 1 + (71 + 3) / 4);
    CHECK(heads.known == heads.asked);  // the very bits of the rows
  }
}

TEST_CASE("heads that cannot fill a tree are refused") {
  remembering_heads heads;
  executor alone;
  const auto make = [&](const remembering_heads* given, tree_shape shape) {
    token_heads<remembering_heads>::state s({given, std::move(shape)},
                                            {.vocabulary = 8, .threads = &alone});
  };
  using weir_test::require_refused;
  require_refused<error::bad_config>([&] { make(nullptr, tree_shape::chain(1)); }, {"no heads"});
  require_refused<error::bad_config>([&] { make(&heads, tree_shape::chain(4)); },
                                     {"4 deep", "expected at most 3"});
  require_refused<error::bad_config>([&] { make(&heads, {{{tree_shape::root, 8}}}); }, {"rank 8"});
}
