// What encoding costs at most, whatever the file and the text: look-ups counted, memory counted.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/shared.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/piece_joins.hpp>
#include <weir/model/tokenizer/piece_merger.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/model/tokenizer/vocabulary.hpp>
#include <weir/model/tokenizer/word_automaton.hpp>

namespace {

std::size_t held = 0, max_held = 0;  // bytes

constexpr std::size_t head = alignof(std::max_align_t);  // where a block's size is noted

}  // namespace

void* operator new(std::size_t size) {
  auto* const p = static_cast<std::byte*>(std::malloc(size + head));
  if (p == nullptr) throw std::bad_alloc();
  *reinterpret_cast<std::size_t*>(p) = size;
  held += size;
  max_held = std::max(max_held, held);
  return p + head;
}
void operator delete(void* p) noexcept {
  if (p == nullptr) return;
  auto* const whole = static_cast<std::byte*>(p) - head;
  held -= *reinterpret_cast<std::size_t*>(whole);
  std::free(whole);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }

using weir::token_kind;
using namespace weir_test;

namespace {

weir::gguf_file file_of(const tiny_vocabulary& v) {
  gguf_builder b;
  v.write_to(b);
  return weir::gguf_file(b.build());
}

/// The most bytes held at once by `f` beyond those held before.
template <class F>
std::size_t memory_of(const F& f) {
  const std::size_t before = held;
  max_held = held;
  f();
  return max_held - before;
}

std::string repeated(const std::string& part, std::size_t size) {
  std::string text;
  text.reserve(size + part.size());
  while (text.size() < size) text += part;
  text.resize(size);
  return text;
}

struct hostile {
  const char* name;
  tiny_vocabulary vocabulary;
  std::vector<std::string> parts;  // texts are made of each, again and again
};

constexpr std::size_t longest = 65535;  // bytes of a token at most

std::vector<hostile> hostile_vocabularies() {
  std::vector<hostile> all;
  const std::string run(longest, 'a');
  const auto letters = [] {
    tiny_vocabulary v = tiny_vocabulary::of_size(259);
    return v.add("a", token_kind::normal, -5).add("b", token_kind::normal, -6);
  };
  const std::vector<std::string> texts = {"a", run.substr(1) + "b", "ab", "b"};
  all.push_back({"a long user-defined token", letters().add(run, token_kind::user_defined), texts});
  all.push_back({"a long user-defined token that ends in another letter",
                 letters().add(run.substr(1) + "c", token_kind::user_defined), texts});
  all.push_back({"a long normal token", letters().add(run), texts});
  tiny_vocabulary powers = letters();
  for (std::size_t n = 2; n < longest; n *= 2)
    powers.add(std::string(n, 'a'), token_kind::normal, -static_cast<float>(n % 7));
  all.push_back({"all powers of a letter", powers.add(run), texts});
  tiny_vocabulary rising = letters(), falling = letters();
  for (std::size_t n = 2; n < 700; ++n) {
    rising.add(std::string(n, 'a'), token_kind::normal, static_cast<float>(n));
    falling.add(std::string(n, 'a'), token_kind::normal, -static_cast<float>(n));
    falling.add(std::string(n, 'b'), token_kind::user_defined);
  }
  all.push_back({"every length, the longer the better", rising, texts});
  all.push_back({"every length, the shorter the better", falling, texts});
  return all;
}

}  // namespace

TEST_CASE("no vocabulary makes encoding take more than O(n log n) steps") {
  for (const hostile& h : hostile_vocabularies()) {
    const weir::vocabulary pieces(file_of(h.vocabulary));
    const weir::detail::piece_joins joins(pieces);
    for (const std::string& part : h.parts)
      for (const std::size_t n : {1'000u, 100'000u, 200'000u}) {
        const std::string text = repeated(part, n);
        const weir::detail::piece_merger merged(pieces, joins, text);
        std::size_t bytes = 0;
        merged.for_each([&](std::string_view piece, weir::token_id) { bytes += piece.size(); });
        REQUIRE(bytes == n);
        INFO(h.name << ", " << n << " bytes of " << part.substr(0, 3) << ": " << merged.steps());
        REQUIRE(merged.steps() >= n);  // it is counted
        CHECK(static_cast<double>(merged.steps()) <
              8 * static_cast<double>(n) * std::log2(static_cast<double>(n)));
      }
  }
}

TEST_CASE("words are looked for in two steps a byte, whatever they are") {
  std::vector<std::string> words;
  for (std::size_t n = 1; n < 300; ++n) words.push_back(std::string(n, 'a') + "b");
  words.push_back(std::string(longest, 'a'));
  const std::vector<std::string_view> views(words.begin(), words.end());
  const weir::detail::word_automaton automaton(views);
  for (const char* part : {"a", "b", "ab", "aaab", "ba"}) {
    const std::string text = repeated(part, 100'000);
    std::uint64_t steps = 0;
    auto state = weir::detail::word_automaton::at_end;
    for (std::size_t i = text.size(); i-- > 0;)
      state = automaton.read(state, static_cast<unsigned char>(text[i]), steps);
    CHECK(steps >= text.size());
    CHECK(steps <= 2 * text.size());
  }
}

TEST_CASE("a text takes at most 12 bytes of memory a byte, the tokens included") {
  constexpr std::size_t size = 1'000'000;
  const auto at_most = [&](const weir::tokenizer& t, const std::string& text, std::size_t bytes) {
    std::size_t tokens = 0;
    const std::size_t memory =
        memory_of([&] { tokens = t.encode(text, weir::text_marks{}).size(); });
    INFO(text.substr(0, 10) << ": " << tokens << " tokens");
    CHECK(memory <= bytes * text.size());
  };
  const weir::tokenizer plain(file_of(tiny_vocabulary::of_size(2000)));
  at_most(plain, repeated("the wind ", 10 * size), 6);
  at_most(plain, repeated("a", size), 12);             // one word
  at_most(plain, repeated("\xFF", size), 12);          // a token each, and no piece at all
  at_most(plain, repeated("\xE2\x82\xAC", size), 12);  // three tokens for a character
  std::string rising;                                  // ever longer words
  for (std::size_t n = 1; rising.size() < size; n += 1 + n / 4) rising += std::string(n, 'a') + "!";
  at_most(plain, rising, 12);
  tiny_vocabulary v = tiny_vocabulary::of_size(259);
  v.add(std::string(longest, 'a'), token_kind::user_defined).add("aa").add("a").add("b");
  const weir::tokenizer user_defined(file_of(v));
  at_most(user_defined, repeated("a", size), 12);
  at_most(user_defined, repeated(std::string(longest - 1, 'a') + "b", size), 12);
  if (const auto file = weir_test::shared("vocab/ggml-vocab-llama-spm.gguf")) {
    const weir::tokenizer llama{weir::gguf_file(*file)};
    at_most(llama, repeated("The wind, they say, has 12 names\xE2\x80\xA6\n", 10 * size), 5);
    at_most(llama, repeated("a", size), 12);
    at_most(llama, repeated(" ", size), 12);
  }
}

TEST_CASE("what a vocabulary takes in memory is bounded by its bytes") {
  for (const hostile& h : hostile_vocabularies()) {
    std::size_t bytes = 0;
    for (const std::string& token : h.vocabulary.tokens) bytes += token.size();
    const weir::gguf_file file = file_of(h.vocabulary);
    INFO(h.name << ", " << bytes << " bytes");
    CHECK(memory_of([&] { weir::tokenizer t(file); }) <= 200 * bytes);
  }
}
