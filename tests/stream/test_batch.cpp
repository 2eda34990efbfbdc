// What one stream of a batch meets, no other stream notices: a callback that throws, a row of which
// the model says nothing.
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/changed_model.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::small;
using streaming = kv_cache<f16, keep<sinks, window>>;

const std::vector<std::string> prompts = {"It was a dark night, and the wind",
                                          "the wind and the wind and the", "The ship went"};
constexpr std::size_t tokens = 40;

template <class Speculation>
using batch_of = stream_batch<streaming, Speculation>;

/// The tokens of the first `streams` streams; `at(i, n)` is called with each, stream i's n-th.
template <class Speculation, class At>
std::vector<std::vector<token_id>> decode(const llama_model& model, At at,
                                          std::size_t streams = prompts.size()) {
  batch_of<Speculation> batch(model, small, {.streams = streams});
  for (std::size_t i = 0; i < streams; ++i)
    batch.start(i, model.tokenizer.encode(prompts[i], true),
                {.max_tokens = tokens, .seed = 3, .stream_key = i});
  std::vector<std::vector<token_id>> all(streams);
  const auto show = [&](std::size_t i, const emitted_token& token) {
    all[i].push_back(token.id);
    at(i, all[i].size());
    return true;
  };
  for (bool any = true; any;) try {
      any = batch.step(show);
    } catch (int) {
    } catch (const error::not_finite&) {
    }
  return all;
}

template <class Speculation>
void check_thrower() {
  const auto expected = decode<Speculation>(bundled(), [](std::size_t, std::size_t) {});
  for (const auto& ids : expected) REQUIRE(ids.size() == tokens);
  std::size_t thrown = 0;
  const auto got = decode<Speculation>(bundled(), [&](std::size_t i, std::size_t n) {
    if ((i == 1 && n % 3 == 1) || (i == 0 && n == tokens)) {
      ++thrown;
      throw 1;
    }
  });
  CHECK(thrown == 15);
  CHECK(got == expected);
}

}  // namespace

TEST_CASE("a callback that throws costs no stream a token, and may go on itself") {
  check_thrower<no_speculation>();
  check_thrower<speculate<prompt_lookup>>();
}

TEST_CASE("a stream that the model says nothing about ends, the others go on") {
  // The embedding of a token of one prompt alone.
  const auto third = bundled().tokenizer.encode(prompts[2], true);
  const std::size_t width = bundled().config.embedding_length;
  const llama_model model = weir_test::with_number(
      "token_embd.weight", static_cast<std::size_t>(third.back()) * width + 1,
      std::numeric_limits<float>::quiet_NaN());
  const auto nothing = [](std::size_t, std::size_t) {};
  const auto expected = decode<no_speculation>(model, nothing, 2);
  auto got = decode<no_speculation>(model, nothing);
  REQUIRE(expected[0].size() + expected[1].size() > tokens);
  CHECK(got[2].empty());
  got.pop_back();
  CHECK(got == expected);
}
