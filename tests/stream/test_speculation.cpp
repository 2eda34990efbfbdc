// A decoder that drafts is told from one that does not by its speed alone: where loops are left,
// at stops, behind new prompts, under policies that are told of every token.
#include <weir/presets.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/stream/chosen_cache.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/weir.hpp>

#include <string>
#include <vector>

#include "stream/compare_decoders.hpp"
#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::compare, weir_test::same_caches, weir_test::small;
using window_cache = kv_cache<f16, keep<sinks, window>, positions::within_cache>;
constexpr std::string_view prompt = weir_test::repeating_prompt;

using self_drafted = speculate<draft_model<window_cache>>;
self_drafted by_itself() { return {{.source = {.model = &bundled(), .keep = small}, .tokens = 5}}; }

/// Drafts what no vocabulary has.
struct wild {
  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = 1, .depth = 1}; }
  struct state {
    state(const wild&, const draft_setup&) {}
    static std::size_t required_bytes(const wild&, const draft_setup&) { return 0; }
    void append(std::span<const token_id>) {}
    void propose(const draft_request&, draft_tree& tree) { tree.add(4096, 0); }
    void reset() {}
  };
};

}  // namespace

TEST_CASE("a loop may be left behind any token") {
  for (const float temperature : {0.0f, 0.8f}) {
    decoder_options options;
    options.sample = {.temperature = temperature, .repetition_penalty = 1.2f};
    stream_decoder<window_cache> plain(bundled(), small, options);
    stream_decoder<window_cache, self_drafted> drafting(bundled(), small, options, by_itself());
    compare(plain, drafting);
    REQUIRE(drafting.counters().accepted > 20);
    stream_decoder<window_cache> again(bundled(), small, options);
    stream_decoder<window_cache, speculate<early_exit>> early(bundled(), small, options,
                                                              {{.layers = 3, .tokens = 5}});
    compare(again, early);
    REQUIRE(early.counters().accepted > 5);
  }
}

TEST_CASE("policies that decide at boundaries, and are told of every token, go on as they would") {
  const auto check = [&](auto cache_of, auto keep, std::size_t cadence) {
    using cache = typename decltype(cache_of)::type;
    decoder_options options;
    options.sample = {.temperature = 0};
    options.stream.cadence = cadence;
    stream_decoder<cache> plain(bundled(), keep, options);
    stream_decoder<cache, self_drafted> drafting(bundled(), keep, options, by_itself());
    compare(plain, drafting);
    REQUIRE(drafting.counters().accepted > 10);
    REQUIRE(drafting.counters().clipped > 0);
  };
  check(std::type_identity<kv_cache<f16, presets::h2o, positions::original>>{},
        presets::h2o{window{24}, heavy_hitters{24}}, 16);
  using surprised = keep<sinks, token_surprisal>;
  check(std::type_identity<kv_cache<f16, surprised, positions::within_cache>>{},
        surprised{sinks{4}, token_surprisal{40}}, 16);
}

TEST_CASE("a range that is left early, a new prompt, and a stop inside what was drafted") {
  decoder_options options;
  options.sample = {.temperature = 0};
  stream_decoder<window_cache> plain(bundled(), small, options);
  stream_decoder<window_cache, self_drafted> drafting(bundled(), small, options, by_itself());
  const auto some_pieces = [](auto& decoder, std::string_view text, std::size_t n) {
    std::string all;
    for (std::string_view piece : decoder.generate(text, {.max_tokens = 50})) {
      all += piece;
      if (--n == 0) break;
    }
    return all;
  };
  for (const std::size_t n : {1u, 3u, 2u, 8u})
    for (const std::string_view text :
         {prompt, std::string_view(" and he said"), std::string_view()}) {
      REQUIRE(some_pieces(plain, text, n) == some_pieces(drafting, text, n));
      REQUIRE(plain.length() == drafting.length());
      REQUIRE(same_caches(plain.cache(), drafting.cache()));
    }

  // Stop strings at every place of what is said.
  std::string said;
  stream_decoder<window_cache> talker(bundled(), small, options);
  for (std::string_view piece : talker.generate(prompt, {.max_tokens = 30})) said += piece;
  for (std::size_t at = 0; at + 3 < said.size(); at += 5) {
    options.stop = {said.substr(at, 3)};
    stream_decoder<window_cache> a(bundled(), small, options);
    stream_decoder<window_cache, self_drafted> b(bundled(), small, options, by_itself());
    std::string x, y;
    for (std::string_view piece : a.generate(prompt, {.max_tokens = 30})) x += piece;
    for (std::string_view piece : b.generate(prompt, {.max_tokens = 30})) y += piece;
    REQUIRE(x == y);
    REQUIRE(a.finished() == b.finished());
    REQUIRE(a.length() == b.length());
    REQUIRE(same_caches(a.cache(), b.cache()));
  }
}

TEST_CASE("rounds allocate nothing, and hold what was announced") {
  const auto check = [](auto cache_of, auto keep, const auto& speculation) {
    using cache = typename decltype(cache_of)::type;
    using speculation_type = std::decay_t<decltype(speculation)>;
    decoder_options options;
    options.sample = {.temperature = 0.8f, .top_p = 0.95f};
    stream_decoder<cache, speculation_type> decoder(bundled(), keep, options, speculation);
    REQUIRE(decoder.bytes() == (stream_decoder<cache, speculation_type>::required_bytes(
                                   bundled(), keep, options, speculation)));
    std::size_t made = 0, before = 0;
    decoder.generate(prompt, [&](const token_event&) {
      if (++made == 50) before = weir_test::allocation_count();
      return made < 400;
    });
    REQUIRE(weir_test::allocation_count() == before);
    REQUIRE(decoder.counters().accepted > 0);
  };
  using scored_cache = kv_cache<f16, presets::h2o, positions::original>;
  const presets::h2o h2o{window{24}, heavy_hitters{24}};
  const draft_source<token_stream<window_cache>> source{.model = &bundled(), .keep = small};
  check(std::type_identity<window_cache>{}, small, by_itself());
  check(std::type_identity<scored_cache>{}, h2o, speculate<prompt_lookup>{});
  check(std::type_identity<scored_cache>{}, h2o,
        speculate<dynamic_tree<window_cache>>{{.source = source, .nodes = 8}});
  check(std::type_identity<window_cache>{}, small, speculate<early_exit>{{.layers = 2}});
}

TEST_CASE("drafts outside the vocabulary are refused") {
  stream_decoder<window_cache, speculate<wild>> decoder(bundled(), small);
  weir_test::require_refused<error::bad_input>(
      [&] { decoder.generate(prompt, [](const token_event&) { return true; }); },
      {"token 4096", "expected 0 to 4095"});
}
