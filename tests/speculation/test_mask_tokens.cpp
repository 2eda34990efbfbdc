// Masks behind drafts: what they say is what a pass over prefix and masks says, and a decoder that
// drafts by them is told from one that does not by its speed alone.
#include <weir/presets.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/speculation/drafters/mask_tokens.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include <weir/testing/drive_cache.hpp>
#include <weir/weir.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "stream/compare_decoders.hpp"
#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::compare, weir_test::require_refused, weir_test::small;
using window_cache = kv_cache<f16, keep<sinks, window>, positions::within_cache>;

/// Masks that nobody trained: between the embeddings of frequent tokens, right now and then; the
/// second and third pushed aside, so that no two are alike.
struct made_masks {
  std::vector<float> values;

  explicit made_masks(std::size_t n = 3) {
    const std::size_t width = bundled().config.embedding_length;
    std::vector<float> row(width);
    values.assign(n * width, 0);
    for (const char* text : {",", " the", " and", " a", ".", " of", " to", " was", " he", " I"}) {
      const token_id id = bundled().tokenizer.encode(text, false).back();
      weir::kernels<weir::product_kernels>().load_row(bundled().weights.token_embedding,
                                                      static_cast<std::size_t>(id), row.data());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += row[i % width] / 10;
    }
    const auto aside = weir_test::random_floats(values.size(), 3, .002f);
    for (std::size_t i = width; i < values.size(); ++i) values[i] += aside[i];
  }
  std::size_t masks() const { return values.size() / bundled().config.embedding_length; }
  std::span<const float> embeddings() const { return values; }
};
static_assert(mask_embeddings<made_masks>);

const made_masks& masks() {
  static const made_masks three;
  return three;
}

using masked = mask_tokens<made_masks>;
using speculation = speculate<masked>;

/// Three drafts deep, with siblings.
mask_plan wide_quadratic() {
  const std::vector<std::vector<double>> accepted{{.3, .2, .1}, {.3, .2}, {.3}};
  mask_plan plan = mask_plan::quadratic(3);
  for (std::size_t s = 1; s <= 3; ++s) {
    plan.trees[s].shape = best_tree(std::span(accepted).first(s), 6);
    plan.trees[s].masks.assign(7, 3);
    plan.trees[s].masks.resize(1 + plan.trees[s].shape.nodes.size());
  }
  return plan;
}

struct layout {
  const char* name;
  mask_plan plan;
};
std::vector<layout> layouts_of_masks() {
  return {{"PPD", assumed_mask_plan()},
          {"quadratic", mask_plan::quadratic(2)},
          {"quadratic, a tree", wide_quadratic()},
          {"linear", mask_plan::linear(3)}};
}

/// Decodes both ways, greedily and not.
template <class Cache>
void check_same(std::span<const layout> layouts, const keep_of<Cache>& keep,
                std::size_t cadence = 32, std::size_t chunk = 256) {
  for (const layout& l : layouts)
    for (const sampling& how :
         {sampling{.temperature = 0}, sampling{.temperature = .8f, .top_p = .95f}}) {
      INFO(l.name << ", temperature " << how.temperature);
      decoder_options options;
      options.sample = how;
      options.seed = 5;
      options.stream.cadence = cadence;
      options.stream.chunk = chunk;
      options.stream.threads = 1;
      stream_decoder<Cache> plain(bundled(), keep, options);
      stream_decoder<Cache, speculation> drafting(bundled(), keep, options, {{&masks(), l.plan}});
      compare(plain, drafting);
      CHECK(drafting.counters().accepted > 0);
    }
}

/// What a stream of a batch said.
struct said {
  std::vector<token_id> ids;
  std::vector<float> logits;  // [token, vocabulary]
  bool operator==(const said& other) const {
    return ids == other.ids && testing::same_bits(logits, other.logits);
  }
};

/// Says what it was shown, and behind which tokens.
struct recording {
  struct shown {
    std::vector<token_id> prefix;
    std::vector<float> logits;  // [mask, vocabulary]
  };
  masked drafter;
  std::vector<shown>* log;

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return drafter.limits(); }
  struct state : masked::state {
    std::vector<shown>* log;
    std::vector<token_id> prefix;

    state(const recording& r, const draft_setup& setup)
        : masked::state(r.drafter, setup), log(r.log) {}
    static std::size_t required_bytes(const recording& r, const draft_setup& setup) {
      return masked::state::required_bytes(r.drafter, setup);
    }
    void append(std::span<const token_id> tokens) {
      masked::state::append(tokens);
      prefix.insert(prefix.end(), tokens.begin(), tokens.end());
    }
    void see_masks(std::span<const float> logits) {
      masked::state::see_masks(logits);
      log->push_back({prefix, {logits.begin(), logits.end()}});
    }
  };
};

/// The same drafts, added while the target's first layers may be asked.
struct masked_in_target : masked {
  static constexpr bool drafts_in_target = true;
  std::size_t exit_layer() const { return 2; }
  struct state : masked::state {
    state(const masked_in_target& m, const draft_setup& setup) : masked::state(m, setup) {}
    template <class Target>
    void propose(const draft_request& request, draft_tree& tree, Target& target) {
      masked::state::propose(request, tree);
      target.read();
    }
  };
};

}  // namespace

TEST_CASE("decoding with masks says what plain decoding says") {
  const std::vector<layout> all = layouts_of_masks();
  const auto first = std::span(all).first(1);
  const presets::h2o h2o{window{24}, heavy_hitters{24}};
  check_same<window_cache>(all, small);
  check_same<window_cache>(first, small, 32, 5);
  check_same<kv_cache<int8, keep<sinks, window>, positions::within_cache>>(first, small);
  check_same<kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>>(first, small);
  check_same<kv_cache<f16, presets::h2o, positions::original>>(all, h2o, 16);
  check_same<kv_cache<int8, presets::h2o, positions::original>>(first, h2o, 16);
  check_same<kv_cache<f16, keep<sinks, token_surprisal>, positions::within_cache>>(
      first, keep<sinks, token_surprisal>{sinks{4}, token_surprisal{40}}, 16);
}

TEST_CASE("masks leave a cache that keeps everything as full as it would be") {
  decoder_options options;
  options.sample = {.temperature = 0};
  options.stream.threads = 1;
  using cache = kv_cache<f32, keep_all>;
  for (const layout& l : layouts_of_masks()) {
    stream_decoder<cache> plain(bundled(), keep_all{90}, options);
    stream_decoder<cache, speculation> drafting(bundled(), keep_all{90}, options,
                                                {{&masks(), l.plan}});
    const std::size_t tokens =
        91 - bundled().tokenizer.encode(weir_test::repeating_prompt, true).size();
    const auto said = weir_test::ids(plain, weir_test::repeating_prompt, tokens);
    CHECK(said.size() == tokens);
    CHECK(said == weir_test::ids(drafting, weir_test::repeating_prompt, tokens));
    CHECK(plain.length() == 90);
    CHECK(drafting.length() == 90);
    CHECK(weir_test::same_caches(plain.cache(), drafting.cache()));
    CHECK(drafting.counters().accepted > 0);
  }
}

TEST_CASE("masks say what a pass over prefix and masks says") {
  const auto check = [](auto cache_of, const layout& l) {
    using cache = typename decltype(cache_of)::type;
    std::vector<recording::shown> log;
    decoder_options options;
    options.sample = {.temperature = 0};
    options.stream.threads = 1;
    stream_decoder<cache, speculate<recording>> decoder(bundled(), small, options,
                                                        {{{&masks(), l.plan}, &log}});
    std::size_t made = 0;
    decoder.generate(weir_test::repeating_prompt, [&](const token_event&) { return ++made < 60; });
    decoder.generate(" and then", [&](const token_event&) { return ++made < 100; });
    REQUIRE(log.size() == decoder.counters().rounds);

    const std::size_t vocabulary = bundled().config.vocab_size,
                      width = bundled().config.embedding_length;
    std::vector<std::size_t> groups(4), accepted(4);
    std::size_t length = 0;
    for (const recording::shown& s : log) {
      const std::size_t n = s.logits.size() / vocabulary;
      ++groups[n];
      accepted[std::min<std::size_t>(s.prefix.size() - length, 3)] += 1;
      length = s.prefix.size();
      if (n == 0) continue;
      cache fresh(shape_of(bundled().config), small, {.max_rows = 256});
      shared_pass<typename cache::step> pass(bundled(), 256, 1, 1, nullptr);
      const std::vector<row> rows(s.prefix.size() + n);
      auto step = fresh.begin(rows);
      pass.add(step, s.prefix);
      pass.extend_embeddings(std::span(masks().values).first(n * width));
      pass.run_all();
      std::vector<float> logits(n * vocabulary);
      pass.logits(s.prefix.size(), n, logits.data());
      REQUIRE(testing::same_bits(logits, s.logits));
      step.commit();
    }
    INFO(l.name << ": " << groups[0] << ' ' << groups[1] << ' ' << groups[2] << ' ' << groups[3]);
    CHECK(groups[l.plan.masks()] > 2);
    CHECK(accepted[2] + accepted[3] > 3);  // rounds that went on behind a draft
    if (std::string_view(l.name) == "linear") CHECK(groups[0] > 20);
    if (std::string_view(l.name) == "quadratic") CHECK(groups[2] == log.size());
  };
  for (const layout& l : layouts_of_masks()) check(std::type_identity<window_cache>{}, l);
  check(std::type_identity<kv_cache<int8, keep<sinks, window>, positions::original>>{},
        layouts_of_masks()[0]);
}

TEST_CASE("streams of a batch, each with masks, say what they say alone") {
  const std::string texts[] = {"It was a dark night, and", "Once upon a time there was a king",
                               "\"Yes,\" he said, \"and the other one of"};
  for (const float temperature : {0.0f, 0.8f}) {
    const sampling how{.temperature = temperature, .top_p = .95f};
    const auto decode = [&](const auto& drafts, std::size_t at_once) {
      std::vector<said> all(3);
      std::uint64_t accepted = 0;
      for (std::size_t first = 0; first < 3; first += at_once) {
        stream_batch<window_cache, std::remove_cvref_t<decltype(drafts)>> batch(
            bundled(), small,
            {.streams = at_once, .sample = how, .stream = {.chunk = 7, .threads = 1}}, drafts);
        REQUIRE(batch.bytes() ==
                batch.required_bytes(
                    bundled(), small,
                    {.streams = at_once, .sample = how, .stream = {.chunk = 7, .threads = 1}},
                    drafts));
        for (std::size_t i = 0; i < at_once; ++i)
          batch.start(i, bundled().tokenizer.encode(texts[first + i], true),
                      {.max_tokens = 90 - 20 * (first + i), .stream_key = first + i});
        while (batch.step([&](std::size_t i, const emitted_token& t) {
          said& s = all[first + i];
          s.ids.push_back(t.id);
          const auto& stream = batch.stream(i);
          const auto logits = stream.logits_of(t.index - stream.emitted().front().index);
          s.logits.insert(s.logits.end(), logits.begin(), logits.end());
          return true;
        })) {
        }
        for (std::size_t i = 0; i < at_once; ++i) accepted += batch.stream(i).counters().accepted;
      }
      return std::pair(all, accepted);
    };
    const auto plain = decode(no_speculation{}, 1).first;
    for (const layout& l : layouts_of_masks()) {
      INFO(l.name << ", temperature " << temperature);
      const speculation drafts{{&masks(), l.plan}};
      const auto [together, accepted] = decode(drafts, 3);
      CHECK(together == plain);
      CHECK(decode(drafts, 1).first == plain);
      CHECK(accepted > 0);
    }
  }
}

TEST_CASE("a drafter may use masks and the target's first layers") {
  decoder_options options;
  options.sample = {.temperature = 0};
  options.stream.threads = 1;
  stream_decoder<window_cache> plain(bundled(), small, options);
  stream_decoder<window_cache, speculate<masked_in_target>> drafting(bundled(), small, options,
                                                                     {{{&masks()}}});
  compare(plain, drafting);
  CHECK(drafting.counters().accepted > 5);
}

TEST_CASE("at temperature 0 rejection says what plain decoding says") {
  decoder_options options;
  options.sample = {.temperature = 0};
  options.stream.threads = 1;
  stream_decoder<window_cache> plain(bundled(), small, options);
  stream_decoder<window_cache, speculate<masked, rejection_sampling>> drafting(
      bundled(), small, options, {{&masks(), wide_quadratic()}});
  compare(plain, drafting);
  CHECK(drafting.counters().accepted > 5);
}

TEST_CASE("rounds with masks allocate nothing, and hold what was announced") {
  const auto check = [](auto cache_of, const auto& keep, const mask_plan& plan) {
    using cache = typename decltype(cache_of)::type;
    decoder_options options;
    options.sample = {.temperature = 0.8f, .top_p = 0.95f};
    options.stream.threads = 1;
    const speculation drafts{{&masks(), plan}};
    stream_decoder<cache, speculation> decoder(bundled(), keep, options, drafts);
    REQUIRE(decoder.bytes() ==
            (stream_decoder<cache, speculation>::required_bytes(bundled(), keep, options, drafts)));
    std::size_t made = 0, before = 0;
    decoder.generate(weir_test::repeating_prompt, [&](const token_event&) {
      if (++made == 50) before = weir_test::allocation_count();
      return made < 300;
    });
    REQUIRE(weir_test::allocation_count() == before);
    CHECK(decoder.counters().accepted > 0);
  };
  for (const layout& l : layouts_of_masks()) {
    check(std::type_identity<window_cache>{}, small, l.plan);
    check(std::type_identity<kv_cache<f16, presets::h2o, positions::original>>{},
          presets::h2o{window{24}, heavy_hitters{24}}, l.plan);

    const std::size_t before = weir_test::bytes_asked();
    const mask_plan copy = l.plan;
    CHECK(weir_test::bytes_asked() - before == copy.bytes());
  }
}

TEST_CASE("masks tell of the newest token alone, and room is shared out from the root on") {
  const draft_setup setup{.vocabulary = 6, .embedding_length = bundled().config.embedding_length};
  const masked settings{&masks(), mask_plan::quadratic(2)};
  masked::state state(settings, setup);
  draft_tree tree(settings.limits());
  const std::vector<token_id> some{1, 2};
  const std::vector<float> logits{0, 1, 2, 5, 4, 3, 9, 8, 9, 1, 0, 2};  // 3, then 0 before 2
  const auto propose = [&](draft_limits limits) {
    tree.start(2, limits);
    state.propose({}, tree);
  };
  state.append(some);
  propose(settings.limits());
  CHECK(tree.drafts() == 0);
  CHECK(tree.masks(0) == 2);
  state.see_masks(logits);
  state.append(std::span(some).first(1));
  propose(settings.limits());
  REQUIRE(tree.drafts() == 2);
  CHECK(tree.token(1) == 3);
  CHECK(tree.token(2) == 0);
  CHECK(tree.masks() == 6);
  draft_limits narrow = settings.limits();
  narrow.depth = 1;
  narrow.masks.depth = 2;
  propose(narrow);
  CHECK(tree.drafts() == 1);
  CHECK(tree.masks(0) == 2);
  CHECK(tree.masks(1) == 1);
  state.append(std::span(some).first(1));  // a prompt, not what was told of
  propose(settings.limits());
  CHECK(tree.drafts() == 0);
  state.see_masks(std::span(logits).first(6));  // there was room for one alone
  state.append(std::span(some).first(1));
  propose(settings.limits());
  CHECK(tree.drafts() == 1);
  state.reset();
  state.append(std::span(some).first(1));
  propose(settings.limits());
  CHECK(tree.drafts() == 0);
}

TEST_CASE("an empty plan decodes plainly") {
  decoder_options options;
  options.sample = {.temperature = 0};
  stream_decoder<window_cache> plain(bundled(), small, options);
  stream_decoder<window_cache, speculation> drafting(bundled(), small, options,
                                                     {{&masks(), mask_plan{}}});
  compare(plain, drafting);
  CHECK(drafting.counters().proposed == 0);
}

TEST_CASE("masks that cannot be read are refused") {
  const auto make = [](const made_masks* given, mask_plan plan, std::size_t vocabulary = 4096) {
    const masked::state s(
        masked{given, std::move(plan)},
        {.vocabulary = vocabulary, .embedding_length = bundled().config.embedding_length});
  };
  made_masks bad;
  bad.values.pop_back();
  using error::bad_config;
  require_refused<bad_config>([&] { make(nullptr, mask_plan::linear(1)); }, {"no masks given"});
  require_refused<bad_config>([&] { make(&bad, mask_plan::linear(1)); },
                              {"embeddings of 767 floats", "expected 2 of 256"});
  require_refused<bad_config>([&] { make(&masks(), mask_plan::linear(4)); },
                              {"plan: 4 masks", "expected at most 3"});
  require_refused<bad_config>([&] { make(&masks(), assumed_mask_plan(), 1); },
                              {"rank ", "vocabulary of 1"});
  mask_plan plan = mask_plan::linear(2);
  plan.trees[2].masks.clear();
  require_refused<bad_config>([&] { make(&masks(), plan); }, {"state 2"});
  // A drafter of someone's own that promises more masks than it has.
  struct greedy : masked {
    draft_limits limits() const {
      draft_limits most = masked::limits();
      most.masks.each = 4;
      return most;
    }
  };
  require_refused<bad_config>(
      [&] {
        stream_decoder<window_cache, speculate<greedy>> decoder(bundled(), small, {},
                                                                {{{&masks()}}});
      },
      {"masks of 768 floats", "expected at least", "= 4 of 256"});
  // More rows than a step can have.
  const made_masks eight(8);
  require_refused<bad_config>(
      [&] {
        stream_decoder<window_cache, speculation> decoder(bundled(), small, {},
                                                          {{&eight, mask_plan::quadratic(8)}});
      },
      {"80 provisional rows", "expected at most 64"});
}

TEST_CASE("rows by embedding are those of tokens, and must fit") {
  const llama_model& model = bundled();
  const std::size_t width = model.config.embedding_length, vocabulary = model.config.vocab_size;
  const std::vector<token_id> tokens{1, 77, 300};
  std::vector<float> rows(tokens.size() * width);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    weir::kernels<weir::product_kernels>().load_row(
        model.weights.token_embedding, static_cast<std::size_t>(tokens[i]), &rows[i * width]);
  const auto read = [&](bool by_embedding) {
    window_cache cache(shape_of(model.config), small);
    shared_pass<window_cache::step> pass(model, 4, 1, 1, nullptr);
    const std::vector<row> all(3);
    auto step = cache.begin(all);
    pass.add(step, std::span(tokens).first(1));
    if (by_embedding)
      pass.extend_embeddings(std::span(rows).subspan(width));
    else
      pass.extend(std::span(tokens).subspan(1));
    pass.run_all();
    std::vector<float> logits(3 * vocabulary);
    pass.logits(0, 3, logits.data());
    return logits;
  };
  CHECK(testing::same_bits(read(true), read(false)));

  llama_pass pass(model.config, model.weights, 2);
  pass.append_embeddings(std::span(rows).first(width));
  require_refused<error::bad_input>(
      [&] { pass.append_embeddings(std::span(rows).first(width + 1)); },
      {"257 floats", "rows of 256"});
  require_refused<error::bad_input>(
      [&] { pass.append_embeddings(std::span(rows).first(2 * width)); },
      {"3 rows", "expected at most 2"});
  CHECK(pass.rows() == 1);
  pass.append_embeddings({});
  CHECK(pass.rows() == 1);
}
