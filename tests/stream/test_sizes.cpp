// Sizes that users ask for: whatever the number, a constructor makes the object or throws an error
// of weir's, having asked for no memory that it cannot use, and required_bytes says the same.
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/speculation/drafters/adaptive_length.hpp>
#include <weir/speculation/drafters/combined.hpp>
#include <weir/speculation/drafters/draft_model.hpp>
#include <weir/speculation/drafters/dynamic_tree.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/ngram_cache.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/stream/cautious_decoder.hpp>
#include <weir/stream/chosen_cache.hpp>
#include <weir/stream/model_drafters.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::require_refused, weir_test::small;
using streaming = kv_cache<f16, keep<sinks, window>>;
using forking = kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>;

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
/// More than there is memory for; products and sums of them wrap to anything.
const std::vector<std::size_t> hostile = {std::size_t{1} << 48,
                                          std::size_t{1} << 52,
                                          std::size_t{1} << 56,
                                          (std::size_t{1} << 60) - 1,
                                          std::size_t{1} << 60,
                                          std::size_t{1} << 61,
                                          (std::size_t{1} << 61) + 1,
                                          (std::size_t{1} << 62) - 1,
                                          std::size_t{1} << 62,
                                          std::size_t{1} << 63,
                                          (std::size_t{1} << 63) + 1,
                                          most / 3 + 1,
                                          most / 5 + 1,
                                          most / 257 + 1,
                                          most - 256,
                                          most - 255,
                                          most - 15,
                                          most - 1,
                                          most};

/// `make()` throws an error of weir's, and nothing else, before it has taken a GiB.
void refuse(const std::function<void()>& make) {
  const std::size_t before = weir_test::bytes_asked();
  bool refused = false;
  try {
    make();
  } catch (const error::out_of_memory&) {
    REQUIRE(weir_test::bytes_asked() - before >= std::size_t{1} << 47);  // and not had
    return;
  } catch (const error::bad_config&) {
    refused = true;
  }
  REQUIRE(refused);
  REQUIRE(weir_test::bytes_asked() - before < std::size_t{1} << 30);
}
/// The same of bytes that are announced: they are refused, or more than there are.
void refuse_bytes(const std::function<std::size_t()>& bytes) {
  const std::size_t before = weir_test::bytes_asked();
  std::size_t announced = largest_size;
  try {
    announced = bytes();
  } catch (const error::bad_config&) {
  }
  REQUIRE(announced >= std::size_t{1} << 45);
  REQUIRE(announced <= largest_size);
  REQUIRE(weir_test::bytes_asked() - before < std::size_t{1} << 20);
}

/// A stream, a decoder and a batch that draft by `drafter(n)`.
template <class Drafter>
void refuse_drafter(const char* name, const std::function<void(Drafter&, std::size_t)>& set,
                    std::initializer_list<std::size_t> more = {}) {
  std::vector<std::size_t> numbers(hostile);
  numbers.insert(numbers.end(), more);
  for (const std::size_t n : numbers) {
    INFO(name << " = " << n);
    speculate<Drafter> drafts;
    set(drafts.drafter, n);
    using decoder = stream_decoder<streaming, speculate<Drafter>>;
    using batch = stream_batch<streaming, speculate<Drafter>>;
    refuse([&] { decoder(bundled(), small, {}, drafts); });
    refuse([&] { batch(bundled(), small, {.streams = 2}, drafts); });
    refuse_bytes([&] { return decoder::required_bytes(bundled(), small, {}, drafts); });
    refuse_bytes([&] { return batch::required_bytes(bundled(), small, {.streams = 2}, drafts); });
  }
}

}  // namespace

TEST_CASE("a batch of any number of streams is made or refused") {
  using batch = stream_batch<streaming>;
  std::vector<std::size_t> numbers(hostile);
  for (const std::size_t n : {std::size_t{0}, max_streams + 1, std::size_t{1} << 32})
    numbers.push_back(n);
  for (const std::size_t n : numbers) {
    INFO(n);
    const batch_options options{.streams = n};
    require_refused<error::bad_config>(
        [&] { batch(bundled(), small, options); },
        {"batch_options.streams: " + std::to_string(n), "expected 1 to 1048576"});
    require_refused<error::bad_config>([&] { batch::required_bytes(bundled(), small, options); },
                                       {"batch_options.streams: "});
  }
}

TEST_CASE("a chunk of any size is taken or refused, before any memory is") {
  std::vector<std::size_t> numbers(hostile);
  for (const std::size_t n : {std::size_t{0}, max_step_rows + 1, std::size_t{1} << 30})
    numbers.push_back(n);
  for (const std::size_t n : numbers) {
    INFO(n);
    const stream_options stream{.chunk = n};
    const std::string said = "stream_options.chunk: " + std::to_string(n);
    const auto refuse_chunk = [&](const auto& make) {
      const std::size_t before = weir_test::bytes_asked();
      require_refused<error::bad_config>(make, {said});
      REQUIRE(weir_test::bytes_asked() - before < std::size_t{1} << 20);
    };
    refuse_chunk([&] { token_stream<streaming>(bundled(), small, stream); });
    refuse_chunk([&] { token_stream<streaming>::required_bytes(bundled(), small, stream); });
    refuse_chunk([&] { stream_decoder<streaming>(bundled(), small, {.stream = stream}); });
    refuse_chunk(
        [&] { stream_decoder<streaming>::required_bytes(bundled(), small, {.stream = stream}); });
    refuse_chunk([&] { stream_batch<streaming>(bundled(), small, {.stream = stream}); });
    refuse_chunk(
        [&] { stream_batch<streaming>::required_bytes(bundled(), small, {.stream = stream}); });
    refuse_chunk([&] { cautious_decoder<forking>(bundled(), small, {.stream = stream}); });
    refuse_chunk(
        [&] { cautious_decoder<forking>::required_bytes(bundled(), small, {.stream = stream}); });
  }
}

TEST_CASE("drafts within any limits are taken or refused") {
  for (const std::size_t n : hostile) {
    INFO(n);
    for (const draft_limits& limits :
         {draft_limits{.nodes = n, .depth = 1}, draft_limits{.nodes = 4, .depth = n},
          draft_limits{.nodes = 4, .depth = 4, .width = n},
          draft_limits{.nodes = 4, .depth = 4, .masks = {.each = 1, .rows = n}}}) {
      refuse([&] { token_stream<streaming>(bundled(), small, {}, limits); });
      REQUIRE_THROWS_AS(token_stream<streaming>::required_bytes(bundled(), small, {}, limits),
                        error::bad_config);
    }
    refuse([&] { draft_tree(draft_limits{.nodes = n, .depth = 1}); });
    refuse([&] { draft_tree(draft_limits{.nodes = 1, .depth = n}); });
    refuse([&] { draft_tree(draft_limits{.nodes = 8, .depth = 1}, n); });
    refuse_bytes([&] { return draft_tree::required_bytes({.nodes = n, .depth = 1}); });
    refuse_bytes([&] { return draft_tree::required_bytes({.nodes = 1, .depth = n}); });
    refuse_bytes([&] { return draft_tree::required_bytes({.nodes = 8, .depth = 1}, n); });
  }
}

TEST_CASE("drafters of any size are taken or refused") {
  refuse_drafter<prompt_lookup>("tokens", [](auto& d, std::size_t n) { d.tokens = n; }, {65});
  refuse_drafter<prompt_lookup>("history", [](auto& d, std::size_t n) { d.history = n; });
  refuse_drafter<prompt_lookup>("longest", [](auto& d, std::size_t n) { d.longest = n; }, {65});
  refuse_drafter<ngram_cache>("tokens", [](auto& d, std::size_t n) { d.tokens = n; }, {65});
  refuse_drafter<ngram_cache>("ngrams", [](auto& d, std::size_t n) { d.ngrams = n; }, {0});
  refuse_drafter<lookahead>("drafts", [](auto& d, std::size_t n) { d.drafts = n; }, {65});
  refuse_drafter<lookahead>("depth", [](auto& d, std::size_t n) { d.depth = n; }, {1025});
  refuse_drafter<lookahead>("width", [](auto& d, std::size_t n) { d.width = n; }, {65});
  refuse_drafter<lookahead>("query", [](auto& d, std::size_t n) { d.query = n; });
  refuse_drafter<lookahead>("nodes", [](auto& d, std::size_t n) { d.nodes = n; }, {0});
  using adaptive = adaptive_length<prompt_lookup>;
  refuse_drafter<adaptive>("rows", [](auto& d, std::size_t n) { d.rows = n; });
  using both = combined<prompt_lookup, lookahead>;
  refuse_drafter<both>("tokens", [](auto& d, std::size_t n) {
    d.drafts = n;
    std::get<0>(d.drafters).tokens = n;
  });
  refuse_drafter<both>("both", [](auto& d, std::size_t n) {
    d.drafts = most;
    std::get<0>(d.drafters).tokens = n;
    std::get<1>(d.drafters).drafts = most - n + 2;  // 1 together, if they wrap
  });
  using smaller = draft_model<streaming>;
  const auto source = [](auto& d) {
    d.source.model = &bundled();
    d.source.keep = small;
  };
  refuse_drafter<smaller>("chunk", [&](auto& d, std::size_t n) {
    source(d);
    d.source.stream.chunk = n;
  });
  refuse_drafter<smaller>("tokens", [&](auto& d, std::size_t n) {
    source(d);
    d.tokens = n;
  });
  using tree = dynamic_tree<streaming>;
  refuse_drafter<tree>("nodes", [&](auto& d, std::size_t n) {
    source(d);
    d.nodes = n;
  });
  refuse_drafter<tree>("width", [&](auto& d, std::size_t n) {
    source(d);
    d.threshold = .1;
    d.width = n;
  });
  for (const std::size_t n : hostile) {
    INFO(n);
    refuse([&] { ngram_table table(n); });
    refuse([&] { token_trie trie(n); });
    CHECK_THROWS_AS(ngram_table::required_bytes(n), error::bad_config);
    CHECK_THROWS_AS(token_trie::required_bytes(n), error::bad_config);
  }
}

TEST_CASE("a sampler of any size is made or refused, and required_bytes agrees") {
  sampling penal;
  penal.presence_penalty = 1;
  for (const std::size_t n : hostile) {
    INFO(n);
    require_refused<error::bad_config>([&] { sampler({}, n); }, {std::to_string(n)});
    require_refused<error::bad_config>([&] { sampler::required_bytes(n); }, {std::to_string(n)});
    require_refused<error::bad_config>([&] { sampler::required_bytes(100, {}, n); },
                                       {std::to_string(n)});
    penal.repeat_last = n;
    CHECK_THROWS_AS(sampler(penal, 100), error::bad_config);
    CHECK_THROWS_AS(sampler::required_bytes(100, penal), error::bad_config);
  }
  CHECK_THROWS_AS(sampler::required_bytes(0), error::bad_config);
}

TEST_CASE("pages for any number of forks and tokens are added up or refused") {
  const kv_shape shape = shape_of(bundled().config);
  const cache_options options{.max_draft_rows = 8};
  const std::size_t one = forking::pages_for_forks(shape, small, options, 1, 100);
  CHECK(one > 0);
  // Pages of a stream are bounded, whatever it is long.
  CHECK(forking::pages_for_forks(shape, small, options, 1, largest_size - 8) >= one);
  for (const std::size_t n : hostile) {
    INFO(n);
    std::size_t pages = most;
    try {
      pages = forking::pages_for_forks(shape, small, options, n, 100);
    } catch (const error::bad_config&) {
    }
    CHECK(pages >= n);
    if (n > largest_size)
      CHECK_THROWS_AS(forking::pages_for_forks(shape, small, options, 1, n), error::bad_config);
  }
}

TEST_CASE("trials of any number and length are made or refused") {
  using decoder = cautious_decoder<forking>;
  for (const std::size_t n : hostile) {
    INFO(n);
    for (const cautious& how : {cautious{.most = n}, cautious{.longest = n}}) {
      require_refused<error::bad_config>([&] { decoder(bundled(), small, {}, how); },
                                         {"cautious", std::to_string(n)});
      require_refused<error::bad_config>(
          [&] { decoder::required_bytes(bundled(), small, {}, how); },
          {"cautious", std::to_string(n)});
    }
  }
}

TEST_CASE("budgets of any size are taken or refused") {
  for (const std::size_t n : hostile) {
    INFO(n);
    const keep<sinks, window> a{sinks{n}, window{60}}, b{sinks{4}, window{n}},
        c{sinks{most - n + 2}, window{n}};
    for (const auto& keeps : {a, b, c}) {
      refuse([&] { stream_decoder<streaming>(bundled(), keeps); });
      CHECK_THROWS_AS(stream_decoder<streaming>::required_bytes(bundled(), keeps),
                      error::bad_config);
    }
    using whole = kv_cache<f16, keep_all>;
    CHECK_THROWS_AS(stream_decoder<whole>(bundled(), keep_all{n}), error::bad_config);
  }
  // More pages than 32 bits can number, but not more bytes than 64 bits can.
  kv_shape shape = shape_of(bundled().config);
  shape.layers = 1 << 10;
  shape.kv_heads = shape.q_heads = 1 << 10;
  shape.head_dim = 2;
  shape.rope.dims = 0;
  using whole = kv_cache<f16, keep_all>;
  const keep_all all{std::size_t{1} << 20};
  CHECK(whole::required_bytes(shape, all) > std::size_t{1} << 42);
  require_refused<error::bad_config>([&] { whole(shape, all); }, {"tiles of 32", "4294967295"});
}

TEST_CASE("a stream that a batch does not have is refused") {
  stream_batch<streaming> batch(bundled(), small, {.streams = 2});
  const std::vector<token_id> prompt{1, 2, 3};
  for (const std::size_t i : {std::size_t{2}, most}) {
    const std::string named = std::to_string(i) + " (expected 0 to 1)";
    require_refused<error::bad_input>([&] { batch.stream(i); }, {"stream: stream", named});
    require_refused<error::bad_input>([&] { batch.start(i, prompt); }, {"start: stream", named});
    require_refused<error::bad_input>([&] { batch.stop(i); }, {"stop: stream", named});
    require_refused<error::bad_input>([&] { batch.runs(i); }, {"runs: stream", named});
  }
}

TEST_CASE("a cache maker without functions is refused") {
  using decoder = stream_decoder<chosen_cache<>>;
  require_refused<error::bad_config>([] { decoder(bundled(), cache_maker{}); },
                                     {"cache_maker: a null function"});
  require_refused<error::bad_config>([] { decoder::required_bytes(bundled(), cache_maker{}); },
                                     {"cache_maker: a null function"});
}
