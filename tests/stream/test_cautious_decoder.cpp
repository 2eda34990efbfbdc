// Trials: the surest is taken as a whole, the others leave no trace, and nothing depends on how
// they were run.
#include <weir/stream/cautious_decoder.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/token_surprisal.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/presets.hpp>
#include <weir/stream/stream_decoder.hpp>
#include <weir/stream/token_stream.hpp>
#include <weir/testing/drive_cache.hpp>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/count_allocations.hpp"
#include "support/refusal.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::ids, weir_test::prompt, weir_test::small, weir_test::taking;

struct longest_keys {
  std::size_t budget;
  float score(const slots_view& c, slot s) const { return c.key_norm(s); }
};

template <class Keep, class Positions = positions::original>
using paged = kv_cache<f16, Keep, Positions, layouts::paged>;
using streaming = paged<keep<sinks, window>, positions::within_cache>;
using scored = paged<keep<sinks, window, longest_keys>, positions::within_cache>;

const keep<sinks, window, longest_keys> by_key{sinks{4}, window{32}, longest_keys{28}};

decoder_options with(unsigned threads, std::size_t chunk = 256, sampling sample = {}) {
  return {.sample = sample, .seed = 7, .stream = {.chunk = chunk, .threads = threads}};
}

template <class Cache>
bool same_caches(const Cache& a, const Cache& b) {
  return a.length() == b.length() && testing::same_entries(a, b, a.shape());
}

/// The decoder's cache is that of a stream that was fed the same tokens plainly, whenever all
/// tokens of a trial have been handed out; and each trial says what a stream of its own would.
template <class Cache>
void leaves_no_trace(const keep_of<Cache>& keep, const sampling& sample, std::size_t tokens,
                     const cautious& how = {}) {
  cautious_decoder<Cache> decoder(bundled(), keep, with(2, 16, sample), how);
  std::vector<token_id> all = bundled().tokenizer.encode(prompt, true);
  std::size_t compared = 0, followed = 0, since = 0;
  std::uint64_t points = 0;
  const auto next = [&](const token_event& e) {
    all.push_back(e.id);
    since = decoder.counters().points == points ? since + 1 : 1;
    points = decoder.counters().points;
    if (decoder.trials().empty()) return true;
    const cautious_trial* best = &decoder.trials()[0];
    for (const cautious_trial& t : decoder.trials())
      if (t.score.mean() < best->score.mean()) best = &t;
    if (since < best->said.size() || compared == 3) return true;

    // All but the last token of the stream are in the cache once a trial was adopted.
    REQUIRE(decoder.cache().length() + 1 == all.size());
    token_stream<Cache> plain(bundled(), keep, {.chunk = 256, .threads = 1});
    plain.feed(std::span(all).first(all.size() - 1));
    REQUIRE(same_caches(decoder.cache(), plain.cache()));
    ++compared;

    const std::size_t point = all.size() - best->said.size();
    REQUIRE(std::equal(best->said.begin(), best->said.end(),
                       all.begin() + static_cast<std::ptrdiff_t>(point)));
    for (const cautious_trial& t : decoder.trials()) {
      token_stream<Cache> lone(bundled(), keep, {.chunk = 64, .threads = 1});
      sampler draw(sample, bundled().config.vocab_size);
      for (std::size_t i = 0; i < point; ++i) draw.push(all[i]);
      lone.feed(std::span(all).first(point));
      double nats = 0;
      for (const token_id id : t.said) {
        const auto distribution = draw.distribution(lone.logits());
        REQUIRE(draw.draw(distribution, t.random, lone.length()) == id);
        nats -= std::log(probability_of(distribution, id));
        draw.push(id);
        lone.feed({&id, 1});
      }
      REQUIRE(t.score.tokens == t.said.size());
      REQUIRE(t.score.nats == Approx(nats));
      ++followed;
    }
    return true;
  };
  decoder.generate(prompt, next, {.max_tokens = tokens});
  REQUIRE(compared >= 2);
  REQUIRE(followed > compared);
}

template <class Cache>
void allocates_nothing(const keep_of<Cache>& keep, const cautious& how = {}) {
  const decoder_options options{.sample = {.temperature = 0.9f, .top_p = 0.95f},
                                .stop = {"no such text"},
                                .stream = {.threads = 2}};
  cautious_decoder<Cache> decoder(bundled(), keep, options, how);
  const std::size_t bytes = decoder.bytes();
  REQUIRE(bytes == cautious_decoder<Cache>::required_bytes(bundled(), keep, options, how));
  std::size_t made = 0, before = 0;
  decoder.generate(prompt, [&](const token_event&) {
    if (++made == 1) before = weir_test::allocation_count();
    return made < 500;
  });
  const std::size_t after = weir_test::allocation_count();
  REQUIRE(made == 500);
  REQUIRE(after - before == 0);
  REQUIRE(decoder.bytes() == bytes);
  REQUIRE(decoder.counters().tried > 4);
}

}  // namespace

TEST_CASE("without trials it is the plain decoder, bit for bit") {
  for (const float penalty : {1.0f, 1.3f}) {
    const sampling sample{.temperature = 1, .repetition_penalty = penalty};
    stream_decoder<streaming> plain(bundled(), small, with(1, 256, sample));
    cautious_decoder<streaming> careful(bundled(), small, with(2, 5, sample), {.most = 1});
    REQUIRE(ids(careful, prompt, 200) == ids(plain, prompt, 200));
    REQUIRE(ids(careful, "And then", 20) == ids(plain, "And then", 20));
    REQUIRE(careful.length() == plain.length());
    REQUIRE(same_caches(careful.cache(), plain.cache()));
    REQUIRE(careful.counters().tried == 0);
  }
}

TEST_CASE("trials that were not taken leave no trace, and each is a stream's of its own") {
  const sampling sample{.temperature = 1, .top_p = 0.95f};
  SECTION("everything kept") { leaves_no_trace<paged<keep_all>>(keep_all{400}, sample, 150); }
  SECTION("sinks and window") { leaves_no_trace<streaming>(small, sample, 200); }
  SECTION("an evicting policy") { leaves_no_trace<scored>(by_key, sample, 200); }
  SECTION("h2o") {
    using h2o = decltype(presets::recipes::h2o::of({.entries = 64}));
    leaves_no_trace<paged<h2o>>(presets::recipes::h2o::of({.entries = 64}), sample, 200);
  }
  SECTION("budgets that change") {
    using ada = decltype(presets::recipes::ada_kv::of({.entries = 64}));
    leaves_no_trace<paged<ada>>(presets::recipes::ada_kv::of({.entries = 64}), sample, 200);
  }
  SECTION("entries that are rewritten") {
    using d2o = decltype(presets::recipes::d2o::of({.entries = 64}));
    leaves_no_trace<paged<d2o>>(presets::recipes::d2o::of({.entries = 64}), sample, 200);
  }
  SECTION("log-probabilities") {
    using surprising = keep<sinks, window, token_surprisal>;
    leaves_no_trace<paged<surprising>>({sinks{4}, window{20}, token_surprisal{40}}, sample, 200);
  }
  SECTION("penalties, each trial's own") {
    const sampling penalized{
        .temperature = 1, .repetition_penalty = 1.5f, .frequency_penalty = .3f, .repeat_last = 20};
    leaves_no_trace<streaming>(small, penalized, 200);
  }
  SECTION("Gumbel noise") {
    leaves_no_trace<streaming>(small, {.temperature = 1, .draw = draw_rule::gumbel}, 200);
  }
  SECTION("long trials, and always") {
    leaves_no_trace<scored>(by_key, sample, 400, {.least = 3, .most = 3, .marks = ""});
  }
}

TEST_CASE("the same seed says the same, whatever the threads and chunks") {
  cautious_decoder<scored> one(bundled(), by_key, with(1));
  const auto expected = ids(one, prompt, 150);
  REQUIRE(one.counters().tried > 5);
  for (const unsigned n : {1u, 2u, 3u}) {
    cautious_decoder<scored> other(bundled(), by_key, with(n, n == 3 ? 1 : 32));
    REQUIRE(ids(other, prompt, 150) == expected);
  }
  one.reset();
  REQUIRE(ids(one, prompt, 150) == expected);
  decoder_options keyed = with(1);
  keyed.stream_key = 1;
  cautious_decoder<scored> key(bundled(), by_key, keyed);
  REQUIRE(ids(key, prompt, 150) != expected);
  stream_decoder<scored> plain(bundled(), by_key, with(1));
  REQUIRE(ids(plain, prompt, 150) != expected);
}

TEST_CASE("the least perplexed trial is taken, the first on ties, and all kinds of ends occur") {
  const cautious how{.most = 5, .longest = 6};
  cautious_decoder<streaming> decoder(bundled(), small, with(1), how);
  const auto ends = tokens_that_end(bundled().tokenizer, how.marks);
  std::size_t marks = 0, caps = 0, points = 0;
  std::vector<token_id> said;
  decoder.generate(prompt,
                   [&](const token_event& e) {
                     said.push_back(e.id);
                     const auto trials = decoder.trials();
                     if (trials.empty() || trials[0].said.empty()) {
                       said.clear();
                       return true;
                     }
                     const cautious_trial* best = &trials[0];
                     for (const cautious_trial& t : trials) {
                       if (t.score.mean() < best->score.mean()) best = &t;
                       const bool marked = ends[static_cast<std::size_t>(t.said.back())] != 0;
                       REQUIRE((marked || t.said.size() == 6));
                       for (std::size_t i = 0; i + 1 < t.said.size(); ++i)
                         REQUIRE(ends[static_cast<std::size_t>(t.said[i])] == 0);
                       ++(marked ? marks : caps);
                     }
                     REQUIRE(said.back() == best->said[said.size() - 1]);
                     if (said.size() < best->said.size()) return true;
                     REQUIRE(said == best->said);
                     said.clear();
                     ++points;
                     return true;
                   },
                   {.max_tokens = 300});
  CHECK(points > 10);
  CHECK(marks > 0);
  CHECK(caps > 0);
}

TEST_CASE("a generation that was left and resumed is the one that was not") {
  cautious_decoder<streaming> whole(bundled(), small, with(1)), cut(bundled(), small, with(1));
  const auto expected = ids(whole, prompt, 200);
  std::vector<token_id> got;
  const auto until = [&](std::size_t n) { return taking(got, n); };
  REQUIRE(cut.generate(prompt, until(7)) == finish_reason::callback);
  for (std::size_t n = 17; n < 200; n += 17) {
    const std::uint64_t length = cut.length();
    REQUIRE(cut.resume(until(n)) == finish_reason::callback);
    REQUIRE(cut.length() == length + n - (n == 17 ? 7 : n - 17));
  }
  REQUIRE(cut.resume(until(1000), {.max_tokens = 200 - got.size()}) == finish_reason::max_tokens);
  REQUIRE(got == expected);
}

TEST_CASE("a prompt in the middle of a trial goes behind what was handed out") {
  cautious_decoder<scored> cut(bundled(), by_key, with(1));
  std::vector<token_id> all = bundled().tokenizer.encode(prompt, true);
  const auto more = bundled().tokenizer.encode(" And then", false);
  std::size_t halves = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const auto said = ids(cut, turn == 0 ? prompt : " And then", 7);
    if (turn > 0) all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), said.begin(), said.end());
    REQUIRE(cut.length() + 1 == all.size());
    halves += cut.cache().length() + 1 < all.size();
  }
  REQUIRE(halves > 3);
  // Adopts the tokens handed out, and nothing else.
  REQUIRE(cut.generate("", [](const token_event&) { return false; }) == finish_reason::callback);
  const std::size_t known = static_cast<std::size_t>(cut.cache().length());
  REQUIRE(known <= all.size());
  token_stream<scored> plain(bundled(), by_key, {.threads = 1});
  plain.feed(std::span(all).first(known));
  REQUIRE(same_caches(cut.cache(), plain.cache()));
}

TEST_CASE("cancelling amid trials loses nothing, and a prompt instead leaves no trace of them") {
  struct cancelling : executor {
    std::stop_source source;
    int left = 0;
    unsigned width() const override { return 2; }
    void run(function_ref<void(unsigned)> part) override {
      if (--left == 0) source.request_stop();
      part(0);
      part(1);
    }
  };
  cautious_decoder<scored> whole(bundled(), by_key, with(1));
  const auto expected = ids(whole, prompt, 60);
  std::size_t amid = 0;
  for (int after = 50; after < 3000; after += 170) {
    cancelling workers;
    workers.left = after;
    cautious_decoder<scored> cut(bundled(), by_key, {.seed = 7, .stream = {.workers = &workers}});
    std::vector<token_id> got;
    const auto collect = [&](const token_event& e) {
      got.push_back(e.id);
      return true;
    };
    const auto why =
        cut.generate(prompt, collect, {.max_tokens = 60, .cancel = workers.source.get_token()});
    if (why != finish_reason::cancelled) break;
    if (!cut.trials().empty()) ++amid;
    if (after % 4 == 0) {
      std::vector<token_id> all = bundled().tokenizer.encode(prompt, true);
      all.insert(all.end(), got.begin(), got.end());
      for (const token_id id : bundled().tokenizer.encode(" And then", false)) all.push_back(id);
      cut.generate(" And then", [](const token_event&) { return false; });
      token_stream<scored> plain(bundled(), by_key, {.threads = 1});
      plain.feed(all);
      REQUIRE(cut.length() == all.size());
      REQUIRE(same_caches(cut.cache(), plain.cache()));
      continue;
    }
    REQUIRE(cut.resume(collect, {.max_tokens = 60 - got.size()}) == finish_reason::max_tokens);
    REQUIRE(got == expected);
  }
  REQUIRE(amid > 2);
}

TEST_CASE("a cache that keeps everything is filled to the last place") {
  const auto fed = bundled().tokenizer.encode(prompt, true).size();
  for (const std::size_t tokens : {1u, 2u, 5u, 40u}) {
    cautious_decoder<paged<keep_all>> decoder(bundled(), keep_all{fed + tokens - 1}, with(1),
                                              {.least = 2});
    REQUIRE(ids(decoder, prompt, tokens).size() == tokens);
    weir_test::require_refused<error::bad_input>([&] { decoder.generate("more"); },
                                                 {"this cache keeps everything"});
  }
}

TEST_CASE("a prompt that does not fit changes nothing, amid a trial too") {
  const keep_all keep{400};
  cautious_decoder<paged<keep_all>> whole(bundled(), keep, with(1)), cut(bundled(), keep, with(1));
  const auto expected = ids(whole, prompt, 100);
  auto got = ids(cut, prompt, 5);
  while (got.size() < 100) {
    weir_test::require_refused<error::bad_input>(
        [&] { cut.generate("more", {.max_tokens = 1000}); }, {"do not fit"});
    cut.resume(
        [&](const token_event& e) {
          got.push_back(e.id);
          return true;
        },
        {.max_tokens = 5});
  }
  REQUIRE(got == expected);
}

TEST_CASE("memory is as announced, and nothing is allocated while it runs") {
  SECTION("sinks and window") { allocates_nothing<streaming>(small); }
  SECTION("boundaries") { allocates_nothing<scored>(by_key); }
  SECTION("long trials") { allocates_nothing<scored>(by_key, {.least = 4, .marks = ""}); }
  SECTION("h2o") {
    using h2o = decltype(presets::recipes::h2o::of({.entries = 64}));
    allocates_nothing<paged<h2o>>(presets::recipes::h2o::of({.entries = 64}));
  }
  SECTION("budgets that change") {
    using ada = decltype(presets::recipes::ada_kv::of({.entries = 64}));
    allocates_nothing<paged<ada>>(presets::recipes::ada_kv::of({.entries = 64}));
  }
  SECTION("single tokens, for which nothing is forked") {
    allocates_nothing<streaming>(small, {.longest = 1});
  }
}

TEST_CASE("losing trials give their pages back") {
  cautious_decoder<streaming> decoder(bundled(), small, with(1), {.least = 10, .longest = 40});
  token_stream<streaming> plain(bundled(), small, {.threads = 1});
  std::vector<token_id> all = bundled().tokenizer.encode(prompt, true);
  decoder.generate(prompt,
                   [&](const token_event& e) {
                     all.push_back(e.id);
                     return true;
                   },
                   {.max_tokens = 500});
  plain.feed(std::span(all).first(static_cast<std::size_t>(decoder.cache().length())));
  CHECK(decoder.cache().pages_held() == plain.cache().pages_held());
  CHECK(decoder.counters().tried > 5);
}

TEST_CASE("settings out of range are refused before anything is allocated") {
  weir_test::require_refused<error::bad_config>(
      [] { cautious_decoder<streaming>(bundled(), small, {}, {.least = 0}); }, {"0 to 10 trials"});
  weir_test::require_refused<error::bad_config>(
      [] { cautious_decoder<streaming>::required_bytes(bundled(), small, {}, {.longest = 0}); },
      {"cautious.longest: 0"});
}
