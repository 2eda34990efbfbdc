// Memory runs out at every place, one after the other, where loading, construction and decoding
// allocate. Nothing leaks, nothing ends the program, constructors say so by an error of weir's, and
// what was asked of an object can be asked again and gives what it would have given at once.
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string>
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
#include "support/starve.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::live_allocations, weir_test::prompt, weir_test::small,
    weir_test::starving;
using streaming = kv_cache<f16, keep<sinks, window>>;
using scored = kv_cache<f16, keep<sinks, window, heavy_hitters>>;
using forking = kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>;
using looked_up = speculate<prompt_lookup>;
using drafted = speculate<draft_model<streaming>>;
using tokens = std::vector<token_id>;

drafted smaller() {
  drafted g;
  g.drafter.source.model = &bundled();
  g.drafter.source.keep = small;
  return g;
}
const decoder_options two_threads{.stop = {"zzz"}, .stream = {.chunk = 16, .threads = 2}};

enum class failure { done, typed, bare };  // by which error
template <class Work>
failure attempt(Work&& work) {
  try {
    work();
    return failure::done;
  } catch (const error::out_of_memory&) {
    return failure::typed;
  } catch (const std::bad_alloc&) {
    return failure::bare;
  }
}

/// Asks `at(n, hungry)` for n = 0, 1, … until it did not meet the allocation that fails, once for
/// one that fails and once for all behind it. It returns whether it did, and says what is wrong by
/// `wrong`, which ends all. Catch keeps memory of its own, and is asked nothing in between.
struct starved_places {
  const char* wrong = nullptr;

  template <class At>
  void each(const At& at) {
    std::size_t places = 0, n = 0;
    bool for_good = false;
    for (; wrong == nullptr; ++n)
      if (at(n, for_good))
        ++places;
      else if (wrong == nullptr && std::exchange(for_good, true))
        break;
      else if (wrong == nullptr)
        n = ~std::size_t{0};
    INFO((wrong == nullptr ? "" : wrong)
         << ": allocation " << n - 1 << (for_good ? ", and all behind it" : ""));
    REQUIRE(wrong == nullptr);
    REQUIRE(places > 0);
  }
  void require(bool holds, const char* otherwise) {
    if (!holds && wrong == nullptr) wrong = otherwise;
  }
};

/// `make` with memory lacking at every place: what it makes is gone again when it returns.
template <class Make>
void starve_making(const Make& make) {
  make();  // what is made once for all is there now
  const std::size_t before = live_allocations();
  starved_places places;
  places.each([&](std::size_t n, bool for_good) {
    failure how = failure::done;
    bool failed = false;
    {
      const starving hunger(n, for_good);
      how = attempt(make);
      failed = hunger.has();
    }
    places.require(live_allocations() == before, "memory is lost");
    places.require((how != failure::done) == failed, "a failure is kept secret");
    // Where nothing is left, there is no room for the words of an error either.
    places.require(how != failure::bare || for_good, "no error of weir's");
    return failed;
  });
}

/// `call(object)`, with memory lacking at every place, on an object that `make` has made; called
/// again, it gives `expected`.
template <class Object>
void starve_calling(const std::function<std::unique_ptr<Object>()>& make,
                    const std::function<tokens(Object&)>& call) {
  const tokens expected = call(*make());
  REQUIRE(!expected.empty());
  const std::size_t before = live_allocations();
  starved_places places;
  places.each([&](std::size_t n, bool for_good) {
    bool failed = false;
    {
      const auto object = make();
      tokens got;
      failure how = failure::done;
      {
        const starving hunger(n, for_good);
        how = attempt([&] { got = call(*object); });
        failed = hunger.has();
      }
      places.require((how != failure::done) == failed, "a failure is kept secret");
      if (failed) got = call(*object);
      places.require(got == expected, "the second call gives something else");
    }
    places.require(live_allocations() == before, "memory is lost");
    return failed;
  });
}

}  // namespace

TEST_CASE("starved: loading a model") {
  const std::string path = WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf";
  starve_making([&] { load_model(path); });
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
      [] { stream_decoder<streaming, drafted>(bundled(), small, two_threads, smaller()); });
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
  starve_generating<stream_decoder<streaming, drafted>>(smaller());
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
