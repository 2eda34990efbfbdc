// With drafts, the tokens and the bits of their logits are those of decoding without, under every
// kind of eviction, position and codec, greedy or sampled, alone or in a batch: a sample of what
// bench/speculation_exactness runs in full, another for each WEIR_TEST_SEED.
#include <cstdlib>
#include <iostream>
#include <random>

#include "speculation/decoded.hpp"
#include "support/catch.hpp"
#include "support/shared.hpp"

namespace {

using namespace weir_test;

constexpr std::string_view some_text =
    "It was a dark night, and the rain fell upon the old house as it had fallen upon it for a "
    "hundred years. The master of the house sat by the fire and read a letter, and read it again, "
    "and could not make out what it meant. \"My dear sir,\" it began, \"you will remember that it "
    "was a dark night, and that the rain fell upon the old house.\" He remembered nothing of the "
    "kind. He rose, and went to the window, and looked out upon the road which led to the village; "
    "and there upon the road he saw a light, and then another light, and then a third. They came "
    "on slowly, one after the other, as men walk who carry something heavy between them. He put "
    "the letter into the fire and went down the stairs to open the door, for he knew that they "
    "would knock, and he did not wish to hear them knock. It had been a dark night then, too. ";

std::uint64_t seed() {
  const char* given = std::getenv("WEIR_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

setup draw_cache(std::mt19937_64& random, std::size_t longest) {
  setup s;
  const codec stored[] = {codec::f32, codec::f16, codec::int8};
  s.stored = stored[random() % 3];
  s.keeps = policies[random() % 4];
  s.renumbers = random() % 2 == 1;
  s.capacity = longest;
  s.sinks = s.keeps == policy::window ? 0 : random() % 6;
  s.window = 16 + random() % 40;
  s.scored = 8 + random() % 24;
  return s;
}

}  // namespace

TEST_CASE("drafts change neither tokens nor logits") {
  const std::uint64_t chosen = seed();
  std::cout << "seed " << chosen << " (set WEIR_TEST_SEED for another)\n";
  std::mt19937_64 random(chosen);
  const weir::llama_model tiny =
      weir::load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  std::size_t accepted = 0, proposed = 0;
  for (int round = 0; round < 6; ++round) {
    decode_job job{
        .model = &tiny, .cache = draw_cache(random, 200), .seed = random(), .tokens = 64};
    job.sample = round % 2 == 0 ? weir::sampling{.temperature = 0}
                                : weir::sampling{.temperature = 0.8f, .top_p = 0.95f};
    if (random() % 3 == 0) job.sample.repetition_penalty = 1.1f;
    if (random() % 2 == 0) job.sample.draw = weir::draw_rule::gumbel;
    constexpr std::size_t cadences[] = {1, 8, 32};
    job.stream.cadence = cadences[random() % 3];
    INFO(describe(job.cache) << " temperature " << job.sample.temperature);
    std::vector<std::vector<weir::token_id>> prompts;
    for (std::size_t i = 0; i < 4; ++i) prompts.push_back(prompt_from(tiny, some_text, random()));

    std::vector<decoded> plain;
    for (std::size_t i = 0; i < prompts.size(); ++i)
      plain.push_back(decode(job, std::span(prompts).subspan(i, 1), i)[0]);
    REQUIRE(decode(job, prompts, 0) == plain);  // a batch alone changes nothing either
    for_each_drafter(tiny, tiny, [&](std::string_view name, auto speculation) {
      INFO(name);
      const auto alone = decode(job, std::span(prompts).first(1), 0, speculation);
      REQUIRE(alone[0] == plain[0]);
      const auto batch = decode(job, prompts, 0, speculation);
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        INFO("stream " << i);
        REQUIRE(batch[i] == plain[i]);
        accepted += batch[i].counters.accepted;
        proposed += batch[i].counters.proposed;
      }
    });
  }
  REQUIRE(accepted > proposed / 20);
  REQUIRE(accepted > 1000);
}

TEST_CASE("the target as its own draft model is always right") {
  const weir::llama_model tiny =
      weir::load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                               weir::positions::within_cache>;
  for (const float temperature : {0.0f, 0.8f})
    for (const auto rule : {weir::draw_rule::inverse_cdf, weir::draw_rule::gumbel}) {
      weir::decoder_options options;
      options.sample = {
          .temperature = temperature, .top_p = 0.95f, .repetition_penalty = 1.1f, .draw = rule};
      const weir::keep<weir::sinks, weir::window> keep{weir::sinks{4}, weir::window{60}};
      weir::stream_decoder<cache, weir::speculate<weir::draft_model<cache>>> decoder(
          tiny, keep, options, {{.source = {.model = &tiny, .keep = keep}, .tokens = 4}});
      std::size_t made = 0;
      for (std::string_view piece : decoder.generate("It was a dark night", {.max_tokens = 200}))
        made += !piece.empty();
      const weir::speculation_counters& c = decoder.counters();
      CHECK(made > 0);
      CHECK(c.proposed == 160);
      CHECK(c.accepted == c.proposed);
      CHECK(c.fully == c.drafted);
    }
}
