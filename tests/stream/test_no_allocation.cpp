// Once a stream runs, it never asks for memory again, and holds what it announced.
#include <weir/weir.hpp>

#include <cstdlib>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"

namespace {

using namespace weir;

template <class Cache>
void expect_no_allocation(keep_of<Cache> keep) {
  const llama_model model = load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  REQUIRE(token_stream<Cache>::required_bytes(model, keep) ==
          token_stream<Cache>(model, keep, {.threads = 1}).bytes());
  stream_decoder<Cache> decoder(model, keep,
                                {.sample = {.temperature = 0.8f, .top_p = 0.95f},
                                 .stop = {"no such text"},
                                 .stream = {.threads = 2}});
  std::size_t made = 0, before = 0;
  const std::size_t bytes = decoder.bytes();
  decoder.generate("It was a dark night", [&](const token_event&) {
    if (++made == 100) before = weir_test::allocation_count();
    return made < 1500;
  });
  const std::size_t after = weir_test::allocation_count();
  REQUIRE(made == 1500);
  REQUIRE(after - before == 0);
  REQUIRE(decoder.bytes() == bytes);
  REQUIRE(bytes == stream_decoder<Cache>::required_bytes(model, keep));
}

struct longest_keys {
  std::size_t budget;
  float score(const slots_view& c, slot s) const { return c.key_norm(s); }
};

}  // namespace

TEST_CASE("counting sees malloc and new") {
  const std::size_t before = weir_test::allocation_count();
  void* volatile p = std::malloc(8);
  std::free(p);
  int* volatile q = new int(1);
  delete q;
  REQUIRE(weir_test::allocation_count() - before >= 1);
}

TEST_CASE("the decode loop allocates nothing under sinks and window") {
  expect_no_allocation<kv_cache<f16, keep<sinks, window>, positions::within_cache>>(
      {sinks{4}, window{60}});
}
TEST_CASE("the decode loop allocates nothing under a policy with boundaries") {
  expect_no_allocation<kv_cache<f16, keep<sinks, window, longest_keys>, positions::within_cache>>(
      {sinks{4}, window{32}, longest_keys{28}});
}
