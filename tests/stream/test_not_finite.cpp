// One number of a model that is not finite: what is drawn from it ends with an error that names the
// layer, and nothing is drawn that no logit stands for.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <weir/presets.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/changed_model.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::prompt, weir_test::small, weir_test::with_number;
using window_cache = kv_cache<f16, keep<sinks, window>>;

constexpr float no_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Generates from `model` with a cache of this type; the message of the error that ends it.
template <class Cache>
std::string end_of(const llama_model& model, keep_of<Cache> keep) {
  stream_decoder<Cache> decoder(model, keep, {.sample = {.temperature = 0}});
  std::size_t shown = 0;
  for (int again = 0; again < 2; ++again)  // not once, and then on as if nothing had been
    try {
      decoder.generate(again == 0 ? prompt : std::string(" and"),
                       [&](const token_event&) {
                         ++shown;
                         return true;
                       },
                       {.max_tokens = 4});
      return "no error";
    } catch (const error::not_finite& e) {
      CHECK(shown == 0);
      if (again == 1) return e.what();
    }
  return "";
}

void check_names(const llama_model& model, const std::string& place) {
  INFO(place);
  const auto named = [&](const std::string& message) {
    INFO(message);
    CHECK(message.find("not finite: first in " + place + ",") != std::string::npos);
  };
  named(end_of<window_cache>(model, small));
  named(end_of<kv_cache<int8, keep_all>>(model, keep_all{64}));
  named(end_of<kv_cache<f32, presets::h2o>>(model, presets::recipes::h2o::of({.entries = 60})));
}

}  // namespace

TEST_CASE("a model that is not finite ends with an error that names the first layer") {
  check_names(with_number("output_norm.weight", 3, no_number), "the output");
  for (const float bad : {no_number, infinity, -infinity}) {
    check_names(with_number("blk.0.attn_q.weight", 5, bad), "layer 0");
    check_names(with_number("blk.1.attn_k.weight", 5, bad), "layer 1");
    check_names(with_number("blk.2.attn_v.weight", 5, bad), "layer 2");
    check_names(with_number("blk.2.ffn_up.weight", 5, bad), "layer 2");
    check_names(with_number("blk.1.attn_output.weight", 5, bad), "layer 1");
  }
}

TEST_CASE("tokens before it are drawn, with drafts and without") {
  // The embedding of a token that comes, so that the stream is sound up to it.
  std::vector<token_id> sound;
  stream_decoder<window_cache> first(bundled(), small, {.sample = {.temperature = 1}, .seed = 5});
  sound = weir_test::ids(first, prompt, 40);
  const auto fed = bundled().tokenizer.encode(prompt, true);
  const auto is_new = [&](std::size_t i) {
    return std::find(fed.begin(), fed.end(), sound[i]) == fed.end() &&
           std::find(sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(i), sound[i]) ==
               sound.begin() + static_cast<std::ptrdiff_t>(i);
  };
  std::size_t last = 12;
  while (last < sound.size() && !is_new(last)) ++last;
  REQUIRE(last + 1 < sound.size());
  // The embedding alone: the bundled model's output is the same matrix, and stays as it was.
  const std::size_t width = bundled().config.embedding_length;
  llama_model model = with_number("output_norm.weight", 0, bundled().weights.output_norm[0]);
  const matrix_view sound_rows = model.weights.token_embedding;
  REQUIRE(sound_rows.type == weight_type::f16);
  std::vector<std::byte> rows(sound_rows.data, sound_rows.data + sound_rows.bytes());
  const f16 bad = round_to<f16>(no_number);
  std::memcpy(&rows[(static_cast<std::size_t>(sound[last]) * width + 1) * sizeof bad], &bad,
              sizeof bad);
  model.weights.token_embedding.data = rows.data();

  const auto check = [&](auto& decoder) {
    std::vector<token_id> got;
    std::string message;
    try {
      decoder.generate(prompt,
                       [&](const token_event& e) {
                         got.push_back(e.id);
                         return true;
                       },
                       {.max_tokens = 40});
    } catch (const error::not_finite& e) {
      message = e.what();
    }
    INFO(message);
    CHECK(message.find("first in its embedding, for token " + std::to_string(fed.size() + last)) !=
          std::string::npos);
    CHECK(got == std::vector<token_id>(sound.begin(),
                                       sound.begin() + static_cast<std::ptrdiff_t>(last + 1)));
  };
  stream_decoder<window_cache> plain(model, small, {.sample = {.temperature = 1}, .seed = 5});
  check(plain);
  using drafted = speculate<draft_model<window_cache>>;
  stream_decoder<window_cache, drafted> drafting(
      model, small, {.sample = {.temperature = 1}, .seed = 5},
      {{.source = {.model = &bundled(), .keep = small}, .tokens = 5}});
  check(drafting);
}

TEST_CASE("a draft model that is not finite is said so") {
  const llama_model model = with_number("blk.1.ffn_up.weight", 5, no_number);
  using drafted = speculate<draft_model<window_cache>>;
  stream_decoder<window_cache, drafted> drafting(
      bundled(), small, {.sample = {.temperature = 0}},
      {{.source = {.model = &model, .keep = small}, .tokens = 5}});
  weir_test::require_refused<error::not_finite>([&] { weir_test::ids(drafting, prompt, 8); },
                                                {"draft model's numbers are not finite"});
}
