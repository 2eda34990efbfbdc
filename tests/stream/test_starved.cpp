// Memory runs out at every place, one after the other, where loading, construction and decoding
// allocate. Nothing leaks, nothing ends the program, constructors say so by an error of weir's, and
// what was asked of an object can be asked again and gives what it would have given at once.
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
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
#include "support/starve.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::live_allocations, weir_test::prompt, weir_test::small,
    weir_test::starving;
using streaming = kv_cache<f16, keep<sinks, window>>;
using scored = kv_cache<f16, keep<sinks, window, heavy_hitters>>;
using forking = kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>;
using looked_up = speculate<prompt_lookup>;
using guessed = speculate<draft_model<streaming>>;
using tokens = std::vector<token_id>;

guessed smaller() {
  guessed g;
  g.drafter.source.model = &bundled();
  g.drafter.source.keep = small;
  return g;
}
const decoder_options two_threads{.stop = {"zzz"}, .stream = {.chunk = 16, .threads = 2}};

enum class told { done, typed, bare };  // by which error
template <class Work>
told attempt(Work&& work) {
  try {
    work();
    return told::done;
  } catch (const error::out_of_memory&) {
    return told::typed;
  } catch (const std::bad_alloc&) {
    return told::bare;
  }
}

/// `make` with memory lacking at every place: what it makes is gone again when it returns.
void starve_making(const std::function<void()>& make) {
  make();  // what is made once for all is there now
  const std::size_t before = live_allocations();
  std::size_t places = 0;
  for (const bool for_good : {false, true})
    for (std::size_t n = 0;; ++n) {
      told how = told::done;
      bool failed = false;
      {
        const starving hunger(n, for_good);
        how = attempt(make);
        failed = hunger.has();
      }
      const std::size_t live = live_allocations();  // before notes of the test's own
      INFO("allocation " << n << (for_good ? ", and all behind it" : ""));
      REQUIRE(live == before);
      if (!failed) {
        REQUIRE(how == told::done);
        break;
      }
      REQUIRE(how != told::done);
      // Where nothing is left, there is no room for the words of an error either.
      if (!for_good) REQUIRE(how == told::typed);
      ++places;
    }
  REQUIRE(places > 4);
}

/// `call(object)`, with memory lacking at every place, on an object that `make` has made; called
/// again, it gives `expected`.
template <class Object>
void starve_calling(const std::function<std::unique_ptr<Object>()>& make,
                    const std::function<tokens(Object&)>& call) {
  const tokens expected = call(*make());
  REQUIRE(!expected.empty());
  const std::size_t before = live_allocations();
  std::size_t places = 0;
  for (const bool for_good : {false, true})
    for (std::size_t n = 0;; ++n) {
      bool failed = false;
      {
        const auto object = make();
        tokens got;
        told how = told::done;
        {
          const starving hunger(n, for_good);
          how = attempt([&] { got = call(*object); });
          failed = hunger.has();
        }
        INFO("allocation " << n << (for_good ? ", and all behind it" : ""));
        REQUIRE((how != told::done) == failed);
        if (failed) got = call(*object);
        REQUIRE(got == expected);
      }
      REQUIRE(live_allocations() == before);
      if (!failed) break;
      ++places;
    }
  REQUIRE(places > 0);
}

}  // namespace

TEST_CASE("starved: loading a model") {
  starve_making([] { load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf"); });
}

TEST_CASE("starved: making caches, samplers and drafters") {
  const kv_shape shape = shape_of(bundled().config);
  starve_making([&] { streaming(shape, small); });
  starve_making([&] { scored(shape, {sinks{4}, window{20}, heavy_hitters{20}}); });
  starve_making([&] {
    const forking first(shape, small, {.extra_pages = 64});
    const forking second(first);
  });
}

TEST_CASE("starved: making streams, decoders and batches") {
  starve_making([] { token_stream<streaming>(bundled(), small, {.chunk = 16, .threads = 3}); });
  starve_making([] { stream_decoder<streaming>(bundled(), small, two_threads); });
  starve_making([] { stream_decoder<streaming, looked_up>(bundled(), small, two_threads); });
  starve_making(
      [] { stream_decoder<streaming, speculate<lookahead>>(bundled(), small, two_threads); });
  starve_making(
      [] { stream_decoder<streaming, guessed>(bundled(), small, two_threads, smaller()); });
  starve_making([] { cautious_decoder<forking>(bundled(), small, two_threads); });
  starve_making([] {
    stream_batch<streaming, looked_up>(bundled(), small,
                                       {.streams = 3, .stream = {.chunk = 16, .threads = 2}});
  });
}

namespace {

/// Starves the second of two generations, behind the first's text.
template <class Decoder, class... More>
void starve_generating(const More&... more) {
  starve_calling<Decoder>(
      [&] {
        auto decoder = std::make_unique<Decoder>(bundled(), small, two_threads, more...);
        decoder->generate(prompt, [](const token_event&) { return true; }, {.max_tokens = 7});
        return decoder;
      },
      [](Decoder& decoder) {
        tokens got;
        got.reserve(9);  // the test's own
        decoder.generate(" and then the captain said to the men of the ship",
                         [&](const token_event& e) {
                           got.push_back(e.id);
                           return true;
                         },
                         {.max_tokens = 9});
        return got;
      });
}

}  // namespace

TEST_CASE("starved: generating") {
  starve_generating<stream_decoder<streaming>>();
  starve_generating<stream_decoder<streaming, looked_up>>();
  starve_generating<stream_decoder<streaming, guessed>>(smaller());
  starve_generating<cautious_decoder<forking>>();
}

TEST_CASE("starved: a batch") {
  using batch = stream_batch<streaming, looked_up>;
  const std::vector<token_id> first = bundled().tokenizer.encode(prompt, true),
                              second = bundled().tokenizer.encode(prompt + prompt + prompt, true);
  starve_calling<batch>(
      [&] {
        auto b = std::make_unique<batch>(
            bundled(), small, batch_options{.streams = 2, .stream = {.chunk = 16, .threads = 2}});
        b->start(0, first, {.max_tokens = 20, .seed = 1});
        b->start(1, first, {.max_tokens = 20, .seed = 2});
        b->step([](std::size_t, const emitted_token&) { return true; });
        return b;
      },
      [&](batch& b) {
        // Stream 1 makes way for another; where that cannot be, it goes on as it was.
        tokens got;
        got.reserve(64);
        b.start(1, second, {.max_tokens = 12, .seed = 3});
        while (b.step([&](std::size_t, const emitted_token& t) {
          got.push_back(t.id);
          return true;
        })) {
        }
        return got;
      });
}
