// Many decoders on one model at the same time, each in a thread of its own and with workers of its
// own: what each says is what it says alone. Made for the thread sanitizer, too.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/speculation/drafters/draft_model.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/stream/cautious_decoder.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::prompt, weir_test::small;
using streaming = kv_cache<f16, keep<sinks, window>>;
using scored = kv_cache<f16, keep<sinks, window, heavy_hitters>>;
using forking = kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>;
using looked_up = speculate<prompt_lookup>;
using drafted = speculate<draft_model<streaming>>;
using tokens = std::vector<token_id>;

constexpr std::size_t wanted = 80;

decoder_options two_threads(std::uint64_t seed) {
  return {.seed = seed, .stream = {.chunk = 16, .threads = 2}};
}

/// Generates with a callback that throws at every seventh token, and goes on.
template <class Decoder, class Keep, class... More>
tokens generated(std::uint64_t seed, const Keep& keep, const More&... more) {
  Decoder decoder(bundled(), keep, two_threads(seed), more...);
  tokens got;
  const auto take = [&](const token_event& e) {
    got.push_back(e.id);
    if (got.size() % 7 == 0) throw 1;
    return true;
  };
  const auto rest = [&] { return generate_options{.max_tokens = wanted - got.size()}; };
  try {
    decoder.generate(prompt, take, rest());
  } catch (int) {
  }
  while (got.size() < wanted) try {
      decoder.resume(take, rest());
    } catch (int) {
    }
  return got;
}

/// Three streams, the second of which throws at every fifth token.
tokens batched(std::uint64_t seed) {
  stream_batch<streaming, looked_up> batch(bundled(), small,
                                           {.streams = 3, .stream = {.chunk = 16, .threads = 2}});
  for (std::size_t i = 0; i < 3; ++i)
    batch.start(i, bundled().tokenizer.encode(prompt, true),
                {.max_tokens = wanted / 2, .seed = seed, .stream_key = i});
  std::vector<tokens> all(3);
  const auto show = [&](std::size_t i, const emitted_token& token) {
    all[i].push_back(token.id);
    if (i == 1 && all[i].size() % 5 == 0) throw 1;
    return true;
  };
  for (bool any = true; any;) try {
      any = batch.step(show);
    } catch (int) {
    }
  tokens joined;
  for (const tokens& one : all) joined.insert(joined.end(), one.begin(), one.end());
  return joined;
}

}  // namespace

TEST_CASE("decoders, batches and forks on one model do not notice each other") {
  drafted by_itself;
  by_itself.drafter.source.model = &bundled();
  by_itself.drafter.source.keep = small;
  const std::vector<std::function<tokens(std::uint64_t)>> kinds = {
      [](auto seed) { return generated<stream_decoder<streaming>>(seed, small); },
      [](auto seed) {
        return generated<stream_decoder<scored, looked_up>>(
            seed, keep<sinks, window, heavy_hitters>{sinks{4}, window{20}, heavy_hitters{20}});
      },
      [](auto seed) {
        return generated<stream_decoder<streaming, speculate<lookahead>>>(seed, small);
      },
      [&](auto seed) {
        return generated<stream_decoder<streaming, drafted>>(seed, small, by_itself);
      },
      [](auto seed) { return generated<cautious_decoder<forking>>(seed, small); },
      [](auto seed) { return batched(seed); },
  };
  std::vector<tokens> alone, together(kinds.size());
  for (const auto& decode : kinds) alone.push_back(decode(alone.size()));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kinds.size(); ++i)
      threads.emplace_back([&, i] { together[i] = kinds[i](i); });
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    INFO("kind " << i);
    CHECK(alone[i].size() >= wanted);
    CHECK(together[i] == alone[i]);
  }
}
