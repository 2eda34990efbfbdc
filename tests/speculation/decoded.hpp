// What streams decode, with and without drafts, in a form that can be compared: ids, and a hash of
// the bits of the logits that each was drawn from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/speculation/drafters/adaptive_length.hpp>
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/early_exit.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/mask_tokens.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/token_heads.hpp>
#include <weir/stream/chosen_cache.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/weir.hpp>
#include "cache/any_cache.hpp"
#include "speculation/offered.hpp"

namespace weir_test {

/// One stream's tokens.
struct decoded {
  std::vector<weir::token_id> ids;
  std::vector<std::uint64_t> logits;  // a hash for each
  weir::speculation_counters counters;

  bool operator==(const decoded& other) const { return ids == other.ids && logits == other.logits; }
};

inline std::uint64_t hash_bits(std::span<const float> values) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const float x : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    h = (h ^ bits) * 0x9E3779B97F4A7C15;
    h ^= h >> 32;
  }
  return h;
}

/// Caches by numbers: the shape and options are the stream's.
inline weir::cache_maker maker_for(const setup& s) {
  const auto complete = [s](const weir::kv_shape& shape, const weir::cache_options& options) {
    setup full = s;
    full.shape = shape;
    full.options = options;
    return full;
  };
  return {false,
          [complete](const weir::kv_shape& shape, const weir::cache_options& options) {
            return make_cache(complete(shape, options));
          },
          [complete](const weir::kv_shape& shape, const weir::cache_options& options) {
            return required_bytes(complete(shape, options));
          }};
}

/// What is decoded, whatever is drafted.
struct decode_job {
  const weir::llama_model* model = nullptr;
  setup cache = {};
  weir::sampling sample = {};
  std::uint64_t seed = 0;
  std::size_t tokens = 0;
  weir::stream_options stream = {.chunk = 64, .threads = 1, .cadence = 32};
};

/// Decodes behind each prompt; all of them in one batch, whose streams are keyed by their number
/// from `first_key` on.
template <class Speculation = weir::no_speculation>
std::vector<decoded> decode(const decode_job& job,
                            std::span<const std::vector<weir::token_id>> prompts,
                            std::uint64_t first_key, const Speculation& speculation = {}) {
  weir::stream_batch<weir::chosen_cache<>, Speculation> batch(
      *job.model, maker_for(job.cache),
      {.streams = prompts.size(), .sample = job.sample, .stream = job.stream}, speculation);
  for (std::size_t i = 0; i < prompts.size(); ++i)
    batch.start(i, prompts[i],
                {.max_tokens = job.tokens, .seed = job.seed, .stream_key = first_key + i});
  std::vector<decoded> all(prompts.size());
  const auto show = [&](std::size_t i, const weir::emitted_token& token) {
    const auto& stream = batch.stream(i);
    all[i].ids.push_back(token.id);
    all[i].logits.push_back(
        hash_bits(stream.logits_of(token.index - stream.emitted().front().index)));
    return true;
  };
  while (batch.step(show)) {
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) all[i].counters = batch.stream(i).counters();
  return all;
}

/// The cache of draft models.
using draft_cache =
    weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>, weir::positions::within_cache>;

/// Every drafter, by name, as `use(name, speculation)`.
template <class Use>
void for_each_drafter(const weir::llama_model& target, const weir::llama_model& draft, Use use) {
  using namespace weir;
  const repeating_heads heads{&target};
  const middle_masks masks(target);
  const draft_source<token_stream<draft_cache>> source{
      .model = &draft, .keep = {sinks{4}, window{124}}, .stream = {.chunk = 64, .threads = 1}};
  const std::vector<std::vector<double>> accepted{{.55, .15, .07}, {.5, .15, .07}, {.5, .1}, {.5}};
  use("prompt lookup", speculate<prompt_lookup>{{.tokens = 6, .shortest = 1}});
  use("lookahead", speculate<lookahead>{{.drafts = 8, .depth = 6}});
  use("n-gram cache", speculate<ngram_cache>{{.tokens = 6}});
  use("draft model", speculate<draft_model<draft_cache>>{{.source = source, .tokens = 4}});
  use("early exit",
      speculate<early_exit>{{.layers = (target.config.block_count + 1) / 2, .tokens = 3}});
  use("static tree",
      speculate<static_tree<draft_cache>>{{.source = source, .shape = best_tree(accepted, 8)}});
  use("dynamic tree", speculate<dynamic_tree<draft_cache>>{{.source = source, .nodes = 8}});
  use("dynamic tree, by depths",
      speculate<dynamic_tree<draft_cache>>{{.source = source, .nodes = 8, .threshold = 0.12}});
  constexpr auto sure = sibling_kind::point_mass;
  using best_draft = draft_model<draft_cache, sure>;
  use("combined",
      speculate<combined<ngram_cache, best_draft>>{
          {.drafters = {ngram_cache{.tokens = 4}, best_draft{.source = source, .tokens = 4}},
           .drafts = 8}});
  use("heads", speculate<token_heads<repeating_heads>>{
                   {.heads = &heads, .shape = best_tree(std::span(accepted).first(2), 6)}});
  use("masks", speculate<mask_tokens<middle_masks>>{{.masks = &masks}});
  use("adaptive length", speculate<adaptive_length<prompt_lookup>>{{.drafter = {.tokens = 6}}});
}

/// Parts of a text as prompts of 8 to 71 tokens, BOS first; number `i` is always the same.
inline std::vector<weir::token_id> prompt_from(const weir::llama_model& model,
                                               std::string_view text, std::size_t i) {
  const std::uint64_t bits = weir::random_source{7, 0}.bits(weir::purpose::drafting, i);
  const std::size_t want = 8 + bits % 64, begin = (bits >> 8) % (text.size() - 600);
  std::size_t at = begin;
  while (at < text.size() && text[at] != ' ') ++at;
  auto ids = model.tokenizer.encode(text.substr(at + 1, 6 * want), true);
  ids.resize(std::min(ids.size(), want));
  return ids;
}

}  // namespace weir_test
