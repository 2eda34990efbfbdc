// The tokenizer's rules on vocabularies made for each of them, and the incremental decoder.
#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/model/tokenizer/utf8.hpp>

using weir::token_id;
using weir::token_kind;
using weir::tokenizer;
using namespace weir_test;
using ids = std::vector<token_id>;

namespace {

const std::string blank = "\xE2\x96\x81";

gguf_builder file_of(const tiny_vocabulary& v) {
  gguf_builder b;
  v.write_to(b);
  return b;
}
tokenizer tokenizer_of(const gguf_builder& b) { return tokenizer(weir::gguf_file(b.build())); }
tokenizer tokenizer_of(const tiny_vocabulary& v) { return tokenizer_of(file_of(v)); }

tiny_vocabulary with_bytes() { return tiny_vocabulary::of_size(259); }

std::string utf8_of(std::uint32_t c) {
  const auto byte = [](std::uint32_t b) { return static_cast<char>(b); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)),
          byte(0x80 | (c & 63))};
}

/// Joining as it is defined, in O(n²): look through all neighbours, join the best, start over.
ids joined_slowly(const tiny_vocabulary& v, const std::string& text) {
  const auto find = [&](const std::string& piece) {
    const auto at = std::find(v.tokens.begin(), v.tokens.end(), piece);
    return at == v.tokens.end() ? -1 : static_cast<token_id>(at - v.tokens.begin());
  };
  std::vector<std::string> pieces = {blank};
  for (const char c : text) pieces.push_back(c == ' ' ? blank : std::string(1, c));
  for (;;) {
    std::size_t best = pieces.size();
    float best_score = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      const token_id id = find(pieces[i] + pieces[i + 1]);
      if (id < 0 || v.scores[static_cast<std::size_t>(id)] <= best_score) continue;
      best = i;
      best_score = v.scores[static_cast<std::size_t>(id)];
    }
    if (best == pieces.size()) break;
    pieces[best] += pieces[best + 1];
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  ids result;
  for (const std::string& p : pieces) result.push_back(find(p));
  return result;
}

}  // namespace

TEST_CASE("empty text gives no tokens, or BOS alone") {
  const tokenizer t = tokenizer_of(with_bytes());
  REQUIRE(t.encode("", false).empty());
  REQUIRE(t.encode("", true) == ids{1});
  REQUIRE(t.decode({}).empty());
  REQUIRE(t.decode(ids{1}).empty());
}

TEST_CASE("the best score joins first, the leftmost among equals") {
  tiny_vocabulary v = tiny_vocabulary::least();                           // 3 is the blank
  v.add("a", token_kind::normal, -9).add("b", token_kind::normal, -9);    // 4, 5
  v.add("aa", token_kind::normal, -1);                                    // 6
  v.add("ab", token_kind::normal, -2).add("ba", token_kind::normal, -2);  // 7, 8
  gguf_builder b = file_of(v);
  const tokenizer t = tokenizer_of(b.set("tokenizer.ggml.add_space_prefix", false));
  REQUIRE(t.encode("aaa", false) == ids{6, 4});
  REQUIRE(t.encode("aab", false) == ids{6, 5});
  REQUIRE(t.encode("baa", false) == ids{5, 6});
  REQUIRE(t.encode("aba", false) == ids{7, 4});
  REQUIRE(t.encode("bab", false) == ids{8, 5});
}

TEST_CASE("joining equals its definition on random vocabularies and texts") {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    tiny_vocabulary v = tiny_vocabulary::least();
    for (const char* c : {"a", "b", "c"}) v.add(c, token_kind::normal, -100);
    while (v.tokens.size() < 40) {
      const std::string piece = v.tokens[3 + random() % (v.tokens.size() - 3)] +
                                v.tokens[3 + random() % (v.tokens.size() - 3)];
      if (piece.size() > 14 || std::count(v.tokens.begin(), v.tokens.end(), piece) > 0) continue;
      v.add(piece, token_kind::normal, -static_cast<float>(random() % 8));  // many ties
    }
    const tokenizer t = tokenizer_of(v);
    for (int i = 0; i < 30; ++i) {
      std::string text(1 + random() % 40, 'a');
      for (char& c : text) c = "abc "[random() % 4];
      INFO(text);
      REQUIRE(t.encode(text, false) == joined_slowly(v, text));
    }
  }
}

// --- against the rules written out, on anything that a file may hold ---

namespace {

/// Encoding as it is defined, without a table, a tree or an automaton.
class defined_encoding {
 public:
  defined_encoding(const tiny_vocabulary& v, bool with_bytes) : with_bytes_(with_bytes) {
    for (std::size_t i = v.tokens.size(); i-- > 0;) {  // of equal tokens the first
      const std::string& raw = v.tokens[i];
      std::string text;
      for (std::size_t at = 0; at < raw.size();) {
        const bool is_blank = raw.compare(at, blank.size(), blank) == 0;
        text += is_blank ? ' ' : raw[at];
        at += is_blank ? blank.size() : 1;
      }
      if (text.empty()) continue;
      const auto kind = static_cast<token_kind>(v.kinds[i]);
      const entry e{static_cast<token_id>(i), v.scores[i]};
      if (kind == token_kind::user_defined) user_defined_[text] = e;
      if (kind == token_kind::normal && raw.find(' ') == std::string::npos) normal_[text] = e;
    }
  }

  ids encode(const std::string& text) const {
    struct part {
      std::string text;
      token_id user_defined;
    };
    std::vector<part> parts;
    for (std::size_t at = 0; at < text.size();) {
      part next{
          text.substr(at, weir::utf8::first_sequence(std::string_view(text).substr(at)).length),
          -1};
      for (const auto& [word, e] : user_defined_)
        if (text.compare(at, word.size(), word) == 0 &&
            (next.user_defined < 0 || word.size() > next.text.size()))
          next = {word, e.id};
      at += next.text.size();
      parts.push_back(next);
    }
    for (;;) {
      std::size_t best = parts.size();
      float best_score = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        if (parts[i].user_defined >= 0 || parts[i + 1].user_defined >= 0) continue;
        const auto found = normal_.find(parts[i].text + parts[i + 1].text);
        if (found == normal_.end()) continue;
        if (best < parts.size() && found->second.score <= best_score) continue;
        best = i;
        best_score = found->second.score;
      }
      if (best == parts.size()) break;
      parts[best].text += parts[best + 1].text;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    ids result;
    for (const part& p : parts) {
      const auto found = normal_.find(p.text);
      if (p.user_defined >= 0)
        result.push_back(p.user_defined);
      else if (found != normal_.end())
        result.push_back(found->second.id);
      else if (with_bytes_)
        for (const char c : p.text) result.push_back(3 + static_cast<unsigned char>(c));
      else
        result.push_back(0);
    }
    return result;
  }

 private:
  struct entry {
    token_id id;
    float score;
  };
  std::map<std::string, entry> normal_, user_defined_;
  bool with_bytes_;
};

}  // namespace

TEST_CASE("encoding equals its definition on thousands of vocabularies of all kinds") {
  std::mt19937 random(23);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const std::vector<std::string> characters = {
      "a",           "b", "a", "b", "c", blank, " ", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\xA6\x99",
      "\xE2\x96\x82"};
  const std::vector<std::string> broken = {"\xE2", "\xE2\x96", "\xFF", "\x80", "\xF0\x9F", "\xC3"};
  for (int round = 0; round < 3000; ++round) {
    const bool with_bytes = round % 3 != 0;
    const std::size_t letters = 2 + below(characters.size() - 1);
    tiny_vocabulary v = with_bytes ? tiny_vocabulary::of_size(259) : tiny_vocabulary::least();
    if (!with_bytes) v.tokens.back() = "zz";  // the blank has no token either, at times
    const std::size_t first = v.tokens.size();
    const std::size_t longest = 1 + below(9);
    for (std::size_t i = 0, n = below(60); i < n; ++i) {
      std::string piece;
      if (v.tokens.size() > first + 1 && below(2) == 0)
        piece = v.tokens[first + below(v.tokens.size() - first)] +
                v.tokens[first + below(v.tokens.size() - first)];
      else
        for (std::size_t c = 0, of = 1 + below(longest); c < of; ++c)
          piece += characters[below(letters)];
      if (below(40) == 0) piece.clear();
      const auto kind = below(8) == 0   ? token_kind::user_defined
                        : below(9) == 0 ? token_kind::unused
                        : below(9) == 0 ? token_kind::control
                                        : token_kind::normal;
      v.add(piece, kind, static_cast<float>(below(6)) - 3);  // many ties
    }
    gguf_builder b = file_of(v);
    const tokenizer t = tokenizer_of(b.set("tokenizer.ggml.add_space_prefix", false));
    const defined_encoding expected(v, with_bytes);
    for (int i = 0; i < 12; ++i) {
      std::string text;
      for (std::size_t c = 0, of = 1 + below(50); c < of; ++c)
        text += below(25) == 0 ? broken[below(broken.size())] : characters[below(letters)];
      INFO("round " << round << ": " << text);
      REQUIRE(t.encode(text, false) == expected.encode(text));
    }
  }
}

TEST_CASE("a long text of one letter takes no quadratic time") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(2000));
  const std::string text(1'000'000, 'a');
  REQUIRE(t.decode(t.encode(text, false)) == text);
}

TEST_CASE("text that spells special tokens stays text") {
  tiny_vocabulary v = with_bytes();
  for (const char* c :
       {"<", ">", "/", "s", "<s", "</", "</s", "un", "0", "x", "<0", "<0x", "<0x4", "<0x41"})
    v.add(c, token_kind::normal, -1);
  v.add("rare", token_kind::unused, 5).add("ra", token_kind::normal, -2);
  const tokenizer t = tokenizer_of(v);
  for (const char* text : {"<s>", "</s>", "<unk>", "<0x41>", "a<s>b</s>", "rare"}) {
    const ids tokens = t.encode(text, false);
    for (const token_id id : tokens) {
      REQUIRE(t.kind(id) != token_kind::control);
      REQUIRE(t.kind(id) != token_kind::unknown);
      REQUIRE(t.kind(id) != token_kind::unused);
      REQUIRE(id != 3 + 0x41);
    }
    REQUIRE(t.decode(tokens) == text);
  }
}

TEST_CASE("user-defined tokens match first, longest first, and join with nothing") {
  tiny_vocabulary v = with_bytes();
  for (const char* c : {"a", "b", "<", ">"}) v.add(c, token_kind::normal, -5);  // 259 ... 262
  v.add("ab", token_kind::normal, -1);                                          // 263
  v.add("<ab>", token_kind::user_defined);                                      // 264
  v.add("<ab>a", token_kind::user_defined);                                     // 265
  v.add("  ", token_kind::user_defined);  // 266, two real blanks
  v.add(blank, token_kind::normal, -9);   // 267
  const tokenizer t = tokenizer_of(v);
  REQUIRE(t.encode("a<ab>b", false) == ids{267, 259, 264, 260});
  REQUIRE(t.encode("<ab>ab", false) == ids{267, 265, 260});
  REQUIRE(t.encode("<ab", false) == ids{267, 261, 263});
  REQUIRE(t.encode(" a", false) == ids{266, 259});
  for (const char* text : {"a<ab>b", "<ab>ab", " a", "  a", "<ab>", "<ab> <ab>", "   "})
    REQUIRE(t.decode(t.encode(text, false)) == text);
}

TEST_CASE("the space prefix is put before text and taken off again, or neither") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("a", token_kind::normal, -5).add(blank + "a", token_kind::normal, -1);
  gguf_builder b = file_of(v);
  const tokenizer with = tokenizer_of(b);
  REQUIRE(with.adds_space_prefix());
  REQUIRE(with.encode("a", true) == ids{1, 5});
  REQUIRE(with.encode(" a", false) == ids{3, 5});
  REQUIRE(with.decode(ids{1, 5, 5}) == "a a");
  REQUIRE(with.decode(ids{4}) == "a");
  const tokenizer without = tokenizer_of(b.set("tokenizer.ggml.add_space_prefix", false));
  REQUIRE(!without.adds_space_prefix());
  REQUIRE(without.encode("a", false) == ids{4});
  REQUIRE(without.encode(" a", false) == ids{5});
  REQUIRE(without.decode(ids{5}) == " a");

  // The caller overrules the file.
  using weir::mark;
  const auto put = [](mark how) { return weir::text_marks{mark::off, mark::off, how}; };
  for (const tokenizer* t : {&with, &without}) {
    CHECK(t->encode("a", put(mark::on)) == ids{5});
    CHECK(t->encode("a", put(mark::off)) == ids{4});
    CHECK(t->encode("a", put(mark::by_file)) == t->encode("a", false));
    CHECK(t->encode("", put(mark::on)).empty());
  }
}

TEST_CASE("the place of a byte without a token is counted in the caller's text") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.kinds[0] = 1;
  v.tokens.back() = "a";
  gguf_builder b = file_of(v);
  const tokenizer t = tokenizer_of(b.erase("tokenizer.ggml.unknown_token_id"));
  for (const char* text : {"a", "z", " a"})  // the blank before it has no token already
    require_refused<weir::error::bad_input>([&] { t.encode(text, false); },
                                            {"byte 32", "offset 0 "});
  const weir::text_marks bare = {weir::mark::off, weir::mark::off, weir::mark::off};
  require_refused<weir::error::bad_input>([&] { t.encode("az", bare); }, {"byte 122", "offset 1 "});
}

TEST_CASE("characters without a piece fall back to bytes, or to one unknown without these") {
  const tokenizer t = tokenizer_of(with_bytes());
  REQUIRE(t.encode("\xC3\xA9", false) == ids{3 + 0x20, 3 + 0xC3, 3 + 0xA9});
  REQUIRE(t.piece(3 + 0xC3) == "\xC3");
  const tokenizer bare = tokenizer_of(tiny_vocabulary::least());
  REQUIRE(bare.encode("\xC3\xA9", false) == ids{3, 0});
  REQUIRE(bare.encode("z ", false) == ids{3, 0, 3});
  REQUIRE(bare.decode(ids{3, 0}) == "\xEF\xBF\xBD");
}

TEST_CASE("a byte with neither a token nor an unknown token is refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.kinds[0] = 1;
  gguf_builder b = file_of(v);
  const tokenizer t = tokenizer_of(b.erase("tokenizer.ggml.unknown_token_id"));
  REQUIRE(!t.unknown().has_value());
  require_refused<weir::error::bad_input>([&] { t.encode(" z", false); },
                                          {"byte 122", "offset 1", "no unknown token"});
}

TEST_CASE("every code point comes back") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(400));
  bool all = true;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string text = utf8_of(c);
    if (t.decode(t.encode(text, true)) == text) continue;
    all = false;
    UNSCOPED_INFO("code point " << c);
  }
  REQUIRE(all);
}

TEST_CASE("any bytes come back, UTF-8 or not") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(400));
  for (int c = 0; c < 65536; ++c) {
    const std::string two = {static_cast<char>(c >> 8), static_cast<char>(c)};
    if (t.decode(t.encode(two, false)) != two) FAIL("bytes " << c);
  }
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    std::string text(random() % 50, '\0');
    for (char& c : text)
      c = random() % 3 == 0 ? static_cast<char>(random()) : "ab e\xE2\x96"[random() % 6];
    REQUIRE(t.decode(t.encode(text, false)) == text);
  }
}

TEST_CASE("every normal, byte and user-defined token's text comes back") {
  tiny_vocabulary v = tiny_vocabulary::of_size(1200);
  v.add("<tool>", token_kind::user_defined);
  const tokenizer t = tokenizer_of(v);
  for (token_id id = 3; id < static_cast<token_id>(t.vocab_size()); ++id) {
    const std::string text(t.piece(id));
    REQUIRE(t.decode(t.encode(text, false)) == text);
  }
}

TEST_CASE("BOS and EOS come from the file, or from control tokens at 1 and 2") {
  tiny_vocabulary v = tiny_vocabulary::least();
  gguf_builder b = file_of(v);
  b.set("tokenizer.ggml.bos_token_id", 2u).set("tokenizer.ggml.eos_token_id", 3u);
  REQUIRE(tokenizer_of(b).bos() == 2);
  REQUIRE(tokenizer_of(b).eos() == 3);
  b.erase("tokenizer.ggml.bos_token_id").erase("tokenizer.ggml.eos_token_id");
  REQUIRE(tokenizer_of(b).bos() == 1);
  REQUIRE(tokenizer_of(b).eos() == 2);
  REQUIRE(tokenizer_of(b).is_control(1));
  REQUIRE(!tokenizer_of(b).is_control(3));
  v.kinds[1] = 1;
  b.set("tokenizer.ggml.token_type", v.kinds);
  const tokenizer t = tokenizer_of(b);
  REQUIRE(!t.bos().has_value());
  require_refused<weir::error::bad_input>([&] { t.encode("a", true); }, {"BOS"});
}

TEST_CASE("ids outside the vocabulary are refused by index and value") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::least());
  const token_id bad =
      GENERATE(-1, 4, std::numeric_limits<token_id>::min(), std::numeric_limits<token_id>::max());
  const auto refused = [&](auto call, std::string_view index) {
    require_refused<weir::error::bad_input>(call, {index, std::to_string(bad), "below 4"});
  };
  refused([&] { t.require_in_vocabulary(ids{0, 3, bad, bad}); }, "token 2 ");
  refused([&] { weir::require_in_vocabulary(ids{bad}, 4); }, "token 0 ");
  refused([&] { t.decode(ids{3, bad}); }, "token 1 ");
  refused([&] { t.piece(bad); }, "token 0 ");
  refused([&] { t.is_control(bad); }, "token 0 ");
  t.require_in_vocabulary(ids{0, 1, 2, 3});
  t.require_in_vocabulary({});
}

TEST_CASE("the tokenizer outlives its file and can be copied") {
  const tokenizer copy = [] {
    const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(300));
    return tokenizer(t);
  }();
  REQUIRE(copy.decode(copy.encode("weir", true)) == "weir");
}

// --- incremental decoding ---

TEST_CASE("pushed tokens give the decoded text, never half a character") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(400));
  const std::string text = "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\xA6\x99 \xE2\x96\x81 end";
  weir::incremental_decoder decoder(t);
  std::string streamed;
  for (const token_id id : t.encode(text, true)) {
    const std::string_view piece = decoder.push(id);
    REQUIRE(weir::utf8::is_valid(piece));
    REQUIRE(decoder.held() <= 3);
    streamed += piece;
  }
  streamed += decoder.flush();
  REQUIRE(streamed == text);
}

TEST_CASE("bytes that no continuation completes become U+FFFD as soon as that is known") {
  const tokenizer t = tokenizer_of(with_bytes());
  const auto push = [](weir::incremental_decoder& d, unsigned byte) {
    return std::string(d.push(static_cast<token_id>(3 + byte)));
  };
  const std::string bad = "\xEF\xBF\xBD";
  weir::incremental_decoder d(t, false);
  REQUIRE(push(d, 0xE2).empty());
  REQUIRE(push(d, 0x82).empty());
  REQUIRE(d.held() == 2);
  REQUIRE(push(d, 'a') == bad + "a");  // a cut sequence, one mark
  REQUIRE(push(d, 0x80) == bad);       // a continuation that continues nothing
  REQUIRE(push(d, 0xFF) == bad);       // never part of UTF-8
  REQUIRE(push(d, 0xC0) == bad);       // overlong
  REQUIRE(push(d, 0xED).empty());
  REQUIRE(push(d, 0xA0) == bad + bad);  // a surrogate
  REQUIRE(push(d, 0xF4).empty());
  REQUIRE(push(d, 0x90) == bad + bad);  // above U+10FFFF
  REQUIRE(push(d, 0xF0).empty());
  REQUIRE(push(d, 0x9F).empty());
  REQUIRE(push(d, 0xA6).empty());
  REQUIRE(d.held() == 3);
  REQUIRE(push(d, 0x99) == "\xF0\x9F\xA6\x99");
  REQUIRE(push(d, 0xF0).empty());
  REQUIRE(push(d, 0x9F).empty());
  REQUIRE(d.flush() == bad);
  REQUIRE(d.flush().empty());
  REQUIRE(d.held() == 0);
}

TEST_CASE("only the blank at the start of a stream is left out") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add(blank + "a", token_kind::normal, -1);
  const tokenizer t = tokenizer_of(v);
  weir::incremental_decoder d(t);
  REQUIRE(d.push(1).empty());
  REQUIRE(d.push(4) == "a");
  REQUIRE(d.push(4) == " a");
  REQUIRE(d.push(2).empty());
  d.reset();
  REQUIRE(d.push(4) == "a");
  weir::incremental_decoder behind_a_prompt(t, false);
  REQUIRE(behind_a_prompt.push(4) == " a");
}

TEST_CASE("a refused push leaves the incremental decoder as it was") {
  const tokenizer t = tokenizer_of(with_bytes());
  weir::incremental_decoder d(t);
  d.push(3 + 0xC3);
  require_refused<weir::error::bad_input>([&] { d.push(259); }, {"259"});
  require_refused<weir::error::bad_input>([&] { d.push(-1); }, {"-1"});
  REQUIRE(d.held() == 1);
  REQUIRE(d.push(3 + 0xA9) == "\xC3\xA9");
}

TEST_CASE("random tokens stream as well-formed text that equals the decoded one where that is") {
  const tokenizer t = tokenizer_of(tiny_vocabulary::of_size(500));
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    weir::incremental_decoder d(t);
    std::string streamed;
    ids tokens;
    for (int i = 0; i < 60; ++i) {
      tokens.push_back(static_cast<token_id>(random() % t.vocab_size()));
      streamed += d.push(tokens.back());
      REQUIRE(d.held() <= 3);
    }
    streamed += d.flush();
    REQUIRE(weir::utf8::is_valid(streamed));
    const std::string whole = t.decode(tokens);
    if (weir::utf8::is_valid(whole)) REQUIRE(streamed == whole);
  }
}
