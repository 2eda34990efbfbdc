// The decoder generates the same text however it is driven, and refuses what it cannot do.
#include <weir/weir.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "stream/decoding.hpp"
#include "support/catch.hpp"
#include "support/gguf_builder.hpp"

namespace {

using namespace weir;
using weir_test::bundled, weir_test::ids, weir_test::prompt, weir_test::small, weir_test::taking;
using streaming = kv_cache<f16, keep<sinks, window>, positions::within_cache>;
using everything = kv_cache<f16, keep_all>;

decoder_options threads(unsigned n, std::size_t chunk = 256) {
  return {.seed = 7, .stream = {.chunk = chunk, .threads = n}};
}

std::string text_of(stream_decoder<streaming>& decoder, std::string_view text, std::size_t tokens) {
  std::string out;
  for (const std::string_view piece : decoder.generate(text, {.max_tokens = tokens})) out += piece;
  return out;
}

}  // namespace

TEST_CASE("ids do not depend on threads or chunks") {
  stream_decoder<streaming> one(bundled(), small, threads(1));
  const auto expected = ids(one, prompt, 150);
  REQUIRE(expected.size() == 150);
  for (const unsigned n : {2u, 3u})
    for (const std::size_t chunk : {1u, 5u}) {
      stream_decoder<streaming> other(bundled(), small, threads(n, chunk));
      REQUIRE(ids(other, prompt, 150) == expected);
    }
}

TEST_CASE("seeds and stream keys make other text, the same ones the same") {
  stream_decoder<streaming> a(bundled(), small, threads(1)), b(bundled(), small, threads(1));
  decoder_options other = threads(1);
  other.stream_key = 1;
  stream_decoder<streaming> c(bundled(), small, other);
  const auto expected = ids(a, prompt, 40);
  REQUIRE(ids(b, prompt, 40) == expected);
  REQUIRE(ids(c, prompt, 40) != expected);
  a.reset();
  REQUIRE(ids(a, prompt, 40) == expected);
}

TEST_CASE("leaving the loop early and resuming gives the text of an uninterrupted run") {
  stream_decoder<streaming> whole(bundled(), small, threads(1)), cut(bundled(), small, threads(1));
  const std::string expected = text_of(whole, prompt, 200);
  REQUIRE(whole.finished() == finish_reason::max_tokens);
  std::string text;
  std::size_t pieces = 0;
  for (const std::string_view piece : cut.generate(prompt)) {
    text += piece;
    if (++pieces == 50) break;
  }
  REQUIRE(cut.finished() == finish_reason::unfinished);
  for (const std::string_view piece : cut.resume()) {
    text += piece;
    if (++pieces == 60) break;
  }
  const std::uint64_t made = cut.length() - bundled().tokenizer.encode(prompt, true).size() + 1;
  for (const std::string_view piece : cut.resume({.max_tokens = 200 - made})) text += piece;
  REQUIRE(text == expected);
}

TEST_CASE("a callback that returns false stops behind its token, and resuming goes on") {
  stream_decoder<streaming> whole(bundled(), small, threads(1)), cut(bundled(), small, threads(1));
  const auto expected = ids(whole, prompt, 60);
  std::vector<token_id> got;
  const auto until = [&](std::size_t n) { return taking(got, n); };
  REQUIRE(cut.generate(prompt, until(20)) == finish_reason::callback);
  REQUIRE(got.size() == 20);
  REQUIRE(cut.resume(until(60)) == finish_reason::callback);
  REQUIRE(got == expected);
}

TEST_CASE("cancelling during prefill keeps what went in, and resuming finishes the prompt") {
  std::string long_prompt;
  for (int i = 0; i < 40; ++i) long_prompt += "The ship went slowly on towards the north. ";
  stream_decoder<streaming> whole(bundled(), small, threads(1, 16));
  const auto expected = ids(whole, long_prompt, 30);

  // Cancels itself from inside the prefill, after a few regions of work.
  struct cancelling : executor {
    std::stop_source source;
    int left = 60;
    unsigned width() const override { return 2; }
    void run(function_ref<void(unsigned)> part) override {
      if (--left == 0) source.request_stop();
      part(0);
      part(1);
    }
  } workers;
  stream_decoder<streaming> cut(bundled(), small,
                                {.seed = 7, .stream = {.chunk = 16, .workers = &workers}});
  std::vector<token_id> got;
  const auto collect = [&](const token_event& e) {
    got.push_back(e.id);
    return true;
  };
  REQUIRE(cut.generate(long_prompt, collect,
                       {.max_tokens = 30, .cancel = workers.source.get_token()}) ==
          finish_reason::cancelled);
  REQUIRE(got.empty());
  const std::uint64_t fed = cut.length();
  REQUIRE(fed > 0);
  REQUIRE(fed < bundled().tokenizer.encode(long_prompt, true).size());
  REQUIRE(cut.resume(collect, {.max_tokens = 30}) == finish_reason::max_tokens);
  REQUIRE(got == expected);
}

TEST_CASE("a second prompt goes behind the first answer, without another BOS") {
  stream_decoder<streaming> decoder(bundled(), small, threads(1));
  ids(decoder, prompt, 10);
  const std::uint64_t before = decoder.length();
  ids(decoder, "And then", 1);
  // The tenth token was sampled, not fed; it comes first, then the prompt.
  REQUIRE(decoder.length() == before + 1 + bundled().tokenizer.encode("And then", false).size());
}

TEST_CASE("generating behind tokens is generating behind the text that they are") {
  const tokenizer& t = bundled().tokenizer;
  const auto from_text = [](decoder_options options, std::string_view text) {
    stream_decoder<streaming> decoder(bundled(), small, std::move(options));
    std::string all = text_of(decoder, text, 40) + '|';
    all += text_of(decoder, "And then", 40);
    return all + std::to_string(decoder.length());
  };
  const auto from_tokens = [](const std::vector<token_id>& first,
                              const std::vector<token_id>& second) {
    stream_decoder<streaming> decoder(bundled(), small, threads(1));
    std::string text;
    for (const std::string_view piece : decoder.generate(first, {.max_tokens = 40})) text += piece;
    text += '|';
    const auto show = [&](const token_event& e) {
      text += e.text;
      return true;
    };
    decoder.generate(second, show, {.max_tokens = 40});
    return text + std::to_string(decoder.length());
  };
  const std::string with_bos = from_text(threads(1), prompt);
  CHECK(from_tokens(t.encode(prompt, true), t.encode("And then", false)) == with_bos);
  CHECK(from_tokens({*t.bos()}, t.encode("And then", false)) == from_text(threads(1), ""));

  // Without the blank that a text is encoded with.
  decoder_options bare = threads(1);
  bare.marks = {.bos = mark::off, .prefix_blank = mark::off};
  const std::string without = from_text(bare, prompt);
  CHECK(without != with_bos);
  CHECK(from_tokens(t.encode(prompt, bare.marks), t.encode("And then", bare.marks)) == without);
  CHECK(t.decode(t.encode(prompt, bare.marks)) == prompt);
}

TEST_CASE("tokens that cannot be generated behind are refused and leave the stream as it was") {
  stream_decoder<streaming> decoder(bundled(), small, threads(1));
  const std::vector<token_id> none, unknown = {1, 4096}, negative = {-1};
  for (const auto* tokens : {&none, &unknown, &negative})
    REQUIRE_THROWS_AS(decoder.generate(*tokens), error::bad_input);
  REQUIRE(decoder.length() == 0);
  stream_decoder<streaming> other(bundled(), small, threads(1));
  REQUIRE(ids(decoder, prompt, 20) == ids(other, prompt, 20));
  REQUIRE_THROWS_AS(decoder.generate(unknown), error::bad_input);
  REQUIRE(ids(decoder, "And then", 20) == ids(other, "And then", 20));
}

TEST_CASE("stop strings end a generation and are not shown") {
  stream_decoder<streaming> plain(bundled(), small, threads(1));
  const std::string text = text_of(plain, prompt, 120);
  const std::string stop = text.substr(text.size() / 2, 7);
  decoder_options options = threads(1);
  options.stop = {stop, "never to be seen"};
  stream_decoder<streaming> decoder(bundled(), small, options);
  REQUIRE(text_of(decoder, prompt, 120) == text.substr(0, text.find(stop)));
  REQUIRE(decoder.finished() == finish_reason::stop_string);
}

TEST_CASE("EOS ends a generation if asked to, and is text like any other if not") {
  const auto image = weir_test::tiny_llama().build();
  const llama_model model{gguf_file(std::span<const std::byte>(image))};
  const token_id eos = model.tokenizer.eos().value();
  for (const bool stops : {false, true}) {
    stream_decoder<streaming> decoder(
        model, small,
        {.sample = {.temperature = 2}, .stop_at_eos = stops, .stream = {.threads = 1}});
    std::size_t seen = 0, made = 0;
    decoder.generate("a",
                     [&](const token_event& e) {
                       ++made;
                       seen += e.id == eos ? 1 : 0;
                       return true;
                     },
                     {.max_tokens = 4000});
    REQUIRE(seen >= 1);
    if (stops) {
      REQUIRE(seen == 1);
      REQUIRE(decoder.finished() == finish_reason::eos);
    } else {
      REQUIRE(made == 4000);
    }
  }
}

TEST_CASE("pieces are whole UTF-8 and add up to the tokens' text") {
  const auto image = weir_test::tiny_llama().build();  // random: byte tokens all over
  const llama_model model{gguf_file(std::span<const std::byte>(image))};
  stream_decoder<streaming> decoder(model, small,
                                    {.sample = {.temperature = 1}, .stream = {.threads = 1}});
  decoder.generate("a",
                   [&](const token_event& e) {
                     for (std::string_view rest = e.text; !rest.empty();) {
                       const auto s = utf8::first_sequence(rest);
                       REQUIRE(s.kind == utf8::status::whole);
                       rest.remove_prefix(s.length);
                     }
                     return true;
                   },
                   {.max_tokens = 2000});
}

TEST_CASE("a prompt longer than the budget streams through it") {
  std::string long_prompt;
  for (int i = 0; i < 150; ++i) long_prompt += "He walked and walked. ";
  stream_decoder<streaming> decoder(bundled(), small, threads(1));
  REQUIRE(ids(decoder, long_prompt, 5).size() == 5);
  REQUIRE(decoder.length() > 512);
  REQUIRE(decoder.cache().stats().evicted_entries > 0);
}

TEST_CASE("a cache that keeps everything refuses what will not fit, before anything happens") {
  stream_decoder<everything> decoder(bundled(), {20}, threads(1));
  const std::string eight = "one two three";
  const std::size_t tokens = bundled().tokenizer.encode(eight, true).size();
  REQUIRE_THROWS_AS(decoder.generate(eight), error::bad_input);
  REQUIRE_THROWS_AS(decoder.generate(eight, {.max_tokens = 22 - tokens}), error::bad_input);
  REQUIRE(decoder.length() == 0);
  std::size_t made = 0;
  decoder.generate(eight,
                   [&](const token_event&) {
                     ++made;
                     return true;
                   },
                   {.max_tokens = 21 - tokens});
  REQUIRE(made == 21 - tokens);
  REQUIRE(decoder.length() == 20);
}

TEST_CASE("empty prompts, prompts of broken UTF-8 and resuming nothing") {
  stream_decoder<streaming> decoder(bundled(), small, threads(1));
  REQUIRE_THROWS_AS(decoder.resume(), error::bad_call);
  REQUIRE(ids(decoder, "", 3).size() == 3);  // BOS stands before it
  decoder.reset();
  REQUIRE(ids(decoder, "\xff\xfe\x80 broken", 3).size() == 3);
}

TEST_CASE("tokens outside the vocabulary are refused and the stream stays as it was") {
  token_stream<streaming> stream(bundled(), small, {.threads = 1});
  const std::vector<token_id> good{1, 300, 301}, high{300, 4096}, negative{300, -1};
  stream.feed(good);
  const std::vector<float> before(stream.logits().begin(), stream.logits().end());
  REQUIRE_THROWS_AS(stream.feed(high), error::bad_input);
  REQUIRE_THROWS_AS(stream.feed(negative), error::bad_input);
  REQUIRE(stream.length() == 3);
  REQUIRE(std::equal(before.begin(), before.end(), stream.logits().begin()));
}

TEST_CASE("log-probabilities of the whole vocabulary add up to one") {
  stream_decoder<streaming> decoder(bundled(), small, threads(1));
  ids(decoder, prompt, 1);
  double total = 0;
  for (token_id id = 0; id < 4096; ++id) total += std::exp(decoder.log_probability(id));
  REQUIRE(std::abs(total - 1) < 1e-9);
  REQUIRE_THROWS_AS(decoder.log_probability(4096), error::bad_input);
}

TEST_CASE("a stream crosses the trained context and 2^32 tokens without noticing") {
  decoder_options options = threads(1);
  options.stream.first_index = (std::uint64_t{1} << 32) - 512;
  stream_decoder<streaming> decoder(bundled(), small, options);
  REQUIRE(ids(decoder, prompt, 700).size() == 700);
  REQUIRE(decoder.length() > std::uint64_t{1} << 32);
}
