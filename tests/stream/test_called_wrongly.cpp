// Everything is called wrongly, at many places of a running stream, and goes on: each call is
// refused with a typed error, and tokens and logits are, bit by bit, those of a stream that nobody
// ever called wrongly.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/token_surprisal.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/drafters/prompt_lookup.hpp>
#include <weir/stream/cautious_decoder.hpp>
#include <weir/stream/stream_batch.hpp>
#include <weir/stream/token_stream.hpp>
#include <weir/weir.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using error::bad_call, error::bad_input;
using weir_test::bundled, weir_test::prompt, weir_test::require_refused, weir_test::small;
using streaming = kv_cache<f16, keep<sinks, window>>;
using whole = kv_cache<f16, keep_all>;
using surprised = kv_cache<f16, keep<sinks, window, token_surprisal>>;
using scored = kv_cache<f16, keep<sinks, window, heavy_hitters>>;
using forking = kv_cache<f16, keep<sinks, window>, positions::original, layouts::paged>;
using tokens = std::vector<token_id>;

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
const token_id vocabulary = static_cast<token_id>(bundled().config.vocab_size);
const std::vector<token_id> outside = {-1, vocabulary, std::numeric_limits<token_id>::min(),
                                       std::numeric_limits<token_id>::max()};

/// What a stream said: tokens, and a hash of the bits of logits.
struct record {
  tokens ids;
  std::vector<std::uint64_t> logits;
  void add(std::span<const float> x) {
    std::uint64_t h = 0xcbf29ce484222325;
    for (const float f : x) h = (h ^ std::bit_cast<std::uint32_t>(f)) * 0x100000001b3;
    logits.push_back(h);
  }
  friend bool operator==(const record&, const record&) = default;
};

// ---- token_stream
// --------------------------------------------------------------------------------

/// Wrong calls of a stream whose step is closed.
template <class Stream>
void misuse_closed(Stream& s, std::size_t chunk) {
  if (s.length() == s.cache().options().first_index)
    require_refused<bad_call>([&] { s.logits(); }, {"logits: no token was fed"});
  for (const token_id id : outside) {
    const tokens bad{5, 6, id};
    require_refused<bad_input>([&] { s.feed(bad); }, {"token 2 is " + std::to_string(id)});
    require_refused<bad_input>([&] { s.open(bad); }, {"token 2 is " + std::to_string(id)});
  }
  require_refused<bad_input>([&] { s.open({}); }, {"open: 0 tokens", "expected 1 to chunk"});
  for (const std::size_t n : {chunk + 1, chunk + 4, 10 * chunk}) {
    const tokens more(n, 5);
    require_refused<bad_input>([&] { s.open(more); },
                               {"open: " + std::to_string(n) + " tokens", "expected 1 to chunk"});
  }
  const tokens one{5};
  const std::vector<row> rows{{row::root, true}};
  require_refused<bad_call>([&] { s.extend(one, rows); }, {"extend: no step is open"});
  require_refused<bad_call>([&] { s.commit(); }, {"commit: no step is open"});
  require_refused<bad_input>([&] { s.first_not_finite(1 << 20); }, {"first_not_finite: row"});
  std::vector<float> out(bundled().config.vocab_size);
  require_refused<bad_input>([&] { s.row_logits(most, 1, out.data()); }, {"logits: rows"});
  require_refused<bad_input>([&] { s.row_logits(0, 1 << 20, out.data()); }, {"logits: rows"});
  if (s.cache().room() < 10000) {
    const tokens many(10000, 5);
    require_refused<bad_input>([&] { s.feed(many); }, {"feed: 10000 tokens do not fit"});
  }
}

/// Wrong calls of a stream whose step has `finals` final rows and `drafts` others, of at most
/// `room`.
template <class Stream>
void misuse_open(Stream& s, std::size_t finals, std::size_t drafts, std::size_t room) {
  const tokens one{5};
  require_refused<bad_call>([&] { s.feed(one); }, {"feed: a step is open"});
  require_refused<bad_call>([&] { s.open(one); }, {"open: a step is open"});
  const std::vector<row> rows{{row::root, true}, {row::root, true}};
  require_refused<bad_input>([&] { s.extend(one, rows); }, {"extend: 1 tokens", "2 rows"});
  for (const token_id id : outside) {
    const tokens bad{5, id};
    require_refused<bad_input>([&] { s.extend(bad, rows); }, {"token 1 is " + std::to_string(id)});
  }
  const tokens many(room + 1, 5);
  const std::vector<row> chain(room + 1, {row::previous, true}), final_row(1),
      far(1, {static_cast<int>(finals + drafts), true}), deep(1, {-7, true});
  require_refused<bad_input>([&] { s.extend(many, chain); }, {"step: "});
  require_refused<bad_input>([&] { s.extend(one, final_row); }, {"step: "});
  require_refused<bad_input>([&] { s.extend(one, far); }, {"step: "});
  require_refused<bad_input>([&] { s.extend(one, deep); }, {"step: "});
  for (const std::size_t r : {std::size_t{0}, finals - 1, finals + drafts, most})
    require_refused<bad_input>([&] { s.commit(std::vector<std::size_t>{r}); },
                               {"commit: row " + std::to_string(r)});
  std::vector<float> out(bundled().config.vocab_size);
  require_refused<bad_input>([&] { s.row_logits(finals + drafts, 1, out.data()); },
                             {"logits: rows"});
}

/// Feeds, drafts and commits; wrongly between all of that if `wrongly`.
template <class Cache>
record run_stream(keep_of<Cache> keeps, bool wrongly) {
  constexpr std::size_t chunk = 6;
  constexpr draft_limits drafts{.nodes = 4, .depth = 3, .width = 3};
  token_stream<Cache> s(bundled(), std::move(keeps), {.chunk = chunk, .threads = 1}, drafts);
  record said;
  const tokens text = bundled().tokenizer.encode(prompt + " of the sea " + prompt, true);
  const auto closed = [&] {
    if (wrongly) misuse_closed(s, chunk);
  };
  closed();
  std::vector<float> rows_of(3 * bundled().config.vocab_size);
  for (std::size_t round = 0, at = 0; round < 14; ++round) {
    const auto next = [&](std::size_t n) {
      tokens part;
      for (std::size_t i = 0; i < n; ++i) part.push_back(text[at++ % text.size()]);
      return part;
    };
    s.feed(next(1 + round % 9), [&](std::size_t, std::size_t) { closed(); });
    said.add(s.logits());
    closed();
    if constexpr (!Cache::wants_log_probabilities) {
      const std::size_t finals = 1 + round % chunk;
      if (s.cache().draft_room(finals) < 2) continue;  // a boundary is near
      s.open(next(finals));
      if (wrongly) misuse_open(s, finals, 0, drafts.nodes);
      const int last = static_cast<int>(finals);
      s.extend(next(2), std::vector<row>{{row::root, true}, {row::root, true}});
      if (wrongly) misuse_open(s, finals, 2, drafts.nodes);
      s.extend(next(1), std::vector<row>{{last, true}});
      if (wrongly) misuse_open(s, finals, 3, drafts.nodes);
      s.row_logits(finals, 3, rows_of.data());
      said.add(rows_of);
      said.add(s.logits());
      if (round % 3 == 0) s.commit();
      if (round % 3 == 1) s.commit(std::vector<std::size_t>{finals + 1});
      if (round % 3 == 2) s.commit(std::vector<std::size_t>{finals, finals + 2});
      closed();
    }
    if (round == 9) {
      s.reset();
      require_refused<bad_call>([&] { s.logits(); }, {"logits: no token was fed"});
      closed();
    }
  }
  return said;
}

template <class Cache>
void check_stream(const keep_of<Cache>& keeps) {
  const record expected = run_stream<Cache>(keeps, false), got = run_stream<Cache>(keeps, true);
  REQUIRE(expected.logits.size() > 13);
  REQUIRE(got == expected);
}

// ---- decoders
// ------------------------------------------------------------------------------------

/// Wrong calls, between generations and within their callbacks.
template <class Decoder>
void misuse_decoder(Decoder& decoder, bool is_new, bool bounded) {
  using callback = std::function<bool(const token_event&)>;
  require_refused<bad_input>([&] { decoder.generate("x", callback()); },
                             {"generate: a null callback"});
  require_refused<bad_input>([&] { decoder.resume(callback()); }, {"resume: a null callback"});
  bool (*const none)(const token_event&) = nullptr;
  require_refused<bad_input>([&] { decoder.generate("x", none); }, {"generate: a null callback"});
  if (is_new) {
    require_refused<bad_call>([&] { decoder.resume(); }, {"resume: the stream is empty"});
    require_refused<bad_call>([&] { decoder.resume([](const token_event&) { return true; }); },
                              {"resume: the stream is empty"});
  }
  if (bounded) {
    const std::string much(5000, 'x');
    require_refused<bad_input>([&] { decoder.generate(much, {.max_tokens = 1}); }, {"do not fit"});
    require_refused<bad_input>([&] { decoder.generate("x", {.max_tokens = most}); },
                               {"do not fit"});
    require_refused<bad_input>([&] { decoder.generate("x"); }, {"endlessly many"});
    if (!is_new)
      require_refused<bad_input>([&] { decoder.resume({.max_tokens = 5000}); }, {"do not fit"});
  }
  if constexpr (requires { decoder.log_probability(0); })
    for (const token_id id : outside)
      require_refused<bad_input>([&] { decoder.log_probability(id); },
                                 {"token 0 is " + std::to_string(id)});
}

/// Two prompts, a loop that is left, a resumption; wrongly between and within if `wrongly`.
template <class Decoder, class Keep>
record run_decoder(const Keep& keeps, bool wrongly) {
  constexpr bool bounded = std::is_same_v<Keep, keep_all>;
  Decoder decoder(bundled(), keeps, {.stop = {"never said"}, .stream = {.chunk = 5, .threads = 1}});
  record said;
  const auto between = [&](bool is_new = false) {
    if (wrongly) misuse_decoder(decoder, is_new, bounded);
  };
  const auto note = [&](const token_event& e) {
    said.ids.push_back(e.id);
    if constexpr (requires { decoder.logits(); }) {
      said.add(decoder.logits());
      // What looks at the decoder alone may be asked within a generation, rightly or wrongly.
      if (wrongly)
        for (const token_id id : outside)
          require_refused<bad_input>([&] { decoder.log_probability(id); }, {"token 0 is "});
    }
    return true;
  };
  between(true);
  decoder.generate(prompt, note, {.max_tokens = 11});
  between();
  for (int i = 0; i < 4; ++i) {
    decoder.resume(note, {.max_tokens = 3});
    between();
  }
  decoder.generate(" and the wind and the wind and", note, {.max_tokens = 12});
  between();
  std::size_t left = 5;
  decoder.resume([&](const token_event& e) { return note(e), --left > 0; }, {.max_tokens = 40});
  between();
  decoder.resume(note, {.max_tokens = 9});
  said.ids.push_back(static_cast<token_id>(decoder.length()));
  decoder.reset();
  between(true);
  decoder.generate("The ship", note, {.max_tokens = 8});
  return said;
}

template <class Decoder, class Keep>
void check_decoder(const Keep& keeps) {
  const record expected = run_decoder<Decoder>(keeps, false);
  REQUIRE(expected.ids.size() > 50);
  REQUIRE(run_decoder<Decoder>(keeps, true) == expected);
}

// ---- batches
// -------------------------------------------------------------------------------------

template <class Batch>
void misuse_batch(Batch& batch, std::size_t streams, bool bounded, bool within) {
  const tokens good{1, 5, 6};
  for (const std::size_t i : {streams, streams + 7, most}) {
    require_refused<bad_input>([&] { batch.start(i, good); }, {"start: stream "});
    require_refused<bad_input>([&] { batch.stop(i); }, {"stop: stream "});
    require_refused<bad_input>([&] { batch.runs(i); }, {"runs: stream "});
    require_refused<bad_input>([&] { batch.stream(i); }, {"stream: stream "});
  }
  for (std::size_t i = 0; i < streams; ++i) {
    require_refused<bad_input>([&] { batch.start(i, {}); }, {"start: an empty prompt"});
    for (const token_id id : outside) {
      const tokens bad{5, id};
      require_refused<bad_input>([&] { batch.start(i, bad); }, {"token 1 is "});
    }
    if (bounded) {
      const tokens much(2000, 5);
      require_refused<bad_input>([&] { batch.start(i, much); }, {"start: 2000 tokens do not fit"});
    }
  }
  if (within) return;
  using callback = std::function<bool(std::size_t, const emitted_token&)>;
  require_refused<bad_input>([&] { batch.step(callback()); }, {"step: a null callback"});
}

template <class Cache, class Speculation>
record run_batch(const keep_of<Cache>& keeps, bool wrongly) {
  constexpr bool bounded = std::is_same_v<keep_of<Cache>, keep_all>;
  constexpr std::size_t streams = 3;
  stream_batch<Cache, Speculation> batch(
      bundled(), keeps, {.streams = streams, .stream = {.chunk = 5, .threads = 1}});
  std::vector<record> said(streams);
  const auto between = [&](bool within = false) {
    if (wrongly) misuse_batch(batch, streams, bounded, within);
  };
  const auto start = [&](std::size_t i, std::uint64_t seed) {
    batch.start(i, bundled().tokenizer.encode(i == 1 ? "The ship went" : prompt, true),
                {.max_tokens = 12 + 5 * i, .seed = seed});
  };
  between();
  for (std::size_t i = 0; i < streams; ++i) start(i, i), between();
  for (std::size_t step = 0; step < 60; ++step) {
    batch.step([&](std::size_t i, const emitted_token& t) {
      said[i].ids.push_back(t.id);
      between(true);
      return true;
    });
    between();
    if (step == 8) start(1, 77);  // whatever was there
    if (step == 20) start(0, 78);
  }
  record all;
  for (const record& r : said) all.ids.insert(all.ids.end(), r.ids.begin(), r.ids.end());
  return all;
}

template <class Cache, class Speculation>
void check_batch(const keep_of<Cache>& keeps) {
  const record expected = run_batch<Cache, Speculation>(keeps, false);
  REQUIRE(expected.ids.size() > 60);
  REQUIRE(run_batch<Cache, Speculation>(keeps, true) == expected);
}

}  // namespace

TEST_CASE("called wrongly: a token stream goes on as if it had not been") {
  check_stream<streaming>(small);
  check_stream<whole>(keep_all{400});
  check_stream<scored>({sinks{2}, window{20}, heavy_hitters{10}});
  check_stream<surprised>({sinks{2}, window{20}, token_surprisal{10}});
}

TEST_CASE("called wrongly: a decoder goes on as if it had not been") {
  check_decoder<stream_decoder<streaming>>(small);
  check_decoder<stream_decoder<whole>>(keep_all{400});
  check_decoder<stream_decoder<scored>>(
      keep<sinks, window, heavy_hitters>{sinks{2}, window{20}, heavy_hitters{10}});
  check_decoder<stream_decoder<streaming, speculate<prompt_lookup>>>(small);
  check_decoder<stream_decoder<whole, speculate<lookahead>>>(keep_all{400});
  check_decoder<cautious_decoder<forking>>(small);
}

TEST_CASE("called wrongly: a batch goes on as if it had not been") {
  check_batch<streaming, no_speculation>(small);
  check_batch<whole, no_speculation>(keep_all{200});
  check_batch<streaming, speculate<prompt_lookup>>(small);
}

TEST_CASE("called wrongly: a sequence goes on as if it had not been") {
  using sequence_type = sequence<streaming, speculate<prompt_lookup>>;
  const auto run = [](bool wrongly) {
    executor alone;
    const stream_options options{.chunk = 6};
    const speculate<prompt_lookup> lookup;
    const draft_limits drafts = lookup.drafter.limits();
    sequence_type::pass_type pass(bundled(), options.pass_rows(drafts), 1, 1, &alone);
    sequence_type s(bundled(), small, options.for_cache(bundled(), drafts, &alone), {}, {5, 0},
                    lookup, alone);
    record said;
    const auto closed = [&] {
      if (!wrongly) return;
      require_refused<bad_call>([&] { s.close(pass, 0, 1); }, {"close: no round is open"});
      require_refused<bad_input>([&] { s.logits_of(0); }, {"logits: token 0 of 0"});
    };
    closed();
    if (wrongly) {
      require_refused<bad_call>([&] { s.open(pass, 6, 9); }, {"open: no token waits"});
      require_refused<bad_call>([&] { s.logits(); }, {"logits: no token was drawn"});
    }
    s.queue(bundled().tokenizer.encode(prompt + " and the wind and the", true));
    for (int round = 0; round < 30; ++round) {
      closed();
      pass.begin();
      s.open(pass, 6, 9);
      if (wrongly) require_refused<bad_call>([&] { s.open(pass, 6, 9); }, {"open: a round is"});
      pass.run_all();
      s.close(pass, 1, pass.rows());
      const std::size_t n = s.emitted().size();
      if (n == 0) continue;
      if (wrongly) {
        for (const std::size_t taken : {std::size_t{0}, n + 1, most})
          require_refused<bad_input>([&] { s.settle(taken); }, {"settle: "});
        require_refused<bad_call>([&] { s.open(pass, 6, 9); }, {"open: a round is"});
        require_refused<bad_call>([&] { s.close(pass, 0, 1); }, {"close: no round is"});
        require_refused<bad_input>([&] { s.logits_of(n); }, {"logits: token "});
      }
      for (std::size_t i = 0; i < n; ++i) said.ids.push_back(s.emitted()[i].id);
      said.add(s.logits_of(n - 1));
      s.settle(round % 2 == 0 ? n : 1);
      said.add(s.logits());
    }
    return said;
  };
  const record expected = run(false);
  REQUIRE(expected.ids.size() > 20);
  REQUIRE(run(true) == expected);
}

TEST_CASE("called wrongly: a sampler goes on as if it had not been") {
  sampling penal;
  penal.presence_penalty = .5f;
  penal.frequency_penalty = .25f;
  penal.repeat_last = 8;
  penal.top_p = .9f;
  constexpr std::size_t n = 50;
  const auto run = [&](bool wrongly) {
    sampler s(penal, n, 4);
    const random_source random{3, 9};
    record said;
    for (std::uint64_t i = 0; i < 60; ++i) {
      std::vector<float> logits(n);
      for (std::size_t t = 0; t < n; ++t)
        logits[t] = static_cast<float>((t * 37 + i * 11) % 23) * .25f;
      const auto misuse = [&] {
        if (!wrongly) return;
        require_refused<bad_input>([&] { s.push(-1); }, {"push: token -1"});
        require_refused<bad_input>([&] { s.push(n); }, {"push: token 50"});
        require_refused<bad_call>([&] { s.take_back(5); }, {"take_back: 5 tokens"});
        require_refused<bad_call>([&] { s.take_back(most); }, {"take_back: "});
        const std::vector<float> few(n - 1), none(n, -std::numeric_limits<float>::infinity());
        require_refused<bad_input>([&] { s.distribution(few); }, {"49 logits"});
        require_refused<bad_input>([&] { s(few, random, i); }, {"49 logits"});
        require_refused<error::not_finite>([&] { s.distribution(none); }, {"none of 50 logits"});
        require_refused<bad_input>([&] { s.draw({}, random, i); }, {"draw: no tokens"});
        require_refused<bad_input>([&] { sampler::draw({}, .5); }, {"draw: no tokens"});
      };
      misuse();
      const token_id id = s(logits, random, i);
      said.ids.push_back(id);
      misuse();
      s.push(id);
      if (i % 5 == 4) {
        s.push(static_cast<token_id>(i % n));
        misuse();
        s.take_back(1);
      }
      misuse();
    }
    return said;
  };
  REQUIRE(run(true) == run(false));
}
