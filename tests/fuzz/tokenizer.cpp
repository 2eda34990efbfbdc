// Vocabularies and texts of any kind: refused with a typed error, or encoded as SentencePiece's
// rule says, read literally, and decoded to the same text, at once and token by token.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/incremental_decoder.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>
#include <weir/model/tokenizer/utf8.hpp>

#include "fuzz/fuzz_input.hpp"
#include "fuzz/gguf_image.hpp"

namespace {

using namespace weir_fuzz;
using weir::token_id, weir::token_kind, weir::tokenizer;

struct token {
  std::string raw;
  float score = 0;
  std::int32_t kind = 1;
};

constexpr std::string_view letters[] = {
    "a",    "b",   "\xE2\x96\x81", " ", "\xC3\xA9", "\xE2\x82\xAC", "<", "\xF0\x9F\x98\x80",
    "\xC3", "\x80"};

std::string hex_byte(std::size_t byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte / 16 % 16], digits[byte % 16], '>'};
}

/// Few tokens over few letters, so that pieces grow out of pieces; sometimes a byte token for each
/// byte.
std::vector<token> any_vocabulary(fuzz_input& in, bool all_bytes) {
  std::vector<token> v{{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  if (in.one_in(16)) v.resize(in.within(0, 2));
  if (all_bytes)
    for (std::size_t b = 0; b < 256; ++b) v.push_back({hex_byte(b), 0, 6});
  constexpr std::int32_t kinds[] = {1, 1, 1, 1, 4, 1, 1, 3, 5, 2, 6, 7};
  const std::size_t first = v.size();
  for (std::size_t n = in.within(0, 24); n > 0; --n) {
    token t;
    switch (in.within(0, 7)) {
      case 0:
        t.raw = in.pick(letters);
        break;
      case 1:
        t.raw = in.text(6);
        break;
      case 2:
        t.raw = hex_byte(in.byte());
        t.kind = 6;
        break;
      case 3:
        t.raw = std::string(in.pick(letters)) + std::string(in.pick(letters));
        break;
      default:  // two that there are
        if (v.size() == first) break;
        t.raw = v[in.within(first, v.size() - 1)].raw;
        if (t.raw.size() < 16) t.raw += v[in.within(first, v.size() - 1)].raw;
    }
    if (t.kind == 1) t.kind = in.pick(kinds);
    t.score = static_cast<float>(in.number<std::int8_t>() / 16);
    if (in.one_in(128)) t.score = in.number<float>();
    v.push_back(t);
  }
  return v;
}

/// A special token's id, in any type, or no key.
void put_special(image_writer& w, fuzz_input& in, std::string_view key, std::size_t size) {
  switch (in.within(0, 9)) {
    case 6:
      w.put_key(key, 4).put(static_cast<std::uint32_t>(in.within(0, size)));
      break;
    case 7:
      w.put_key(key, 5).put(std::int32_t{in.number<std::int8_t>()});
      break;
    case 8:
      w.put_key(key, 10).put(in.number<std::uint64_t>());
      break;
    case 9:
      w.put_key(key, 0).put(in.number<std::uint8_t>());
      break;
    default:
      break;
  }
}
bool put_flag(image_writer& w, fuzz_input& in, std::string_view key, bool otherwise) {
  const std::size_t how = in.within(0, 3);
  if (how < 2) return otherwise;
  w.put_key(key, 7).put(static_cast<std::uint8_t>(how - 2));
  return how == 3;
}

struct marks {
  bool bos, prefix;
};

marks write(image_writer& w, fuzz_input& in, const std::vector<token>& v) {
  w.clear();
  w.put_text("GGUF").put(std::uint32_t{3}).put(std::uint64_t{0}).put(std::uint64_t{0});
  w.put_key("tokenizer.ggml.model", 8).put_string("llama");
  w.put_array("tokenizer.ggml.tokens", 8, v.size());
  for (const token& t : v) w.put_string(t.raw);
  const std::size_t fewer = in.one_in(64) ? in.within(0, v.size()) : v.size();
  w.put_array("tokenizer.ggml.scores", 6, fewer);
  for (std::size_t i = 0; i < fewer; ++i) w.put(v[i].score);
  w.put_array("tokenizer.ggml.token_type", 5, v.size());
  for (const token& t : v) w.put(t.kind);
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id"})
    put_special(w, in, key, v.size());
  marks m{};
  m.bos = put_flag(w, in, "tokenizer.ggml.add_bos_token", true);
  m.prefix = put_flag(w, in, "tokenizer.ggml.add_space_prefix", true);
  std::memcpy(w.at(16), &w.keys, sizeof w.keys);
  return m;
}

/// What a token stands for.
std::string text_of(const token& t) {
  std::string text;
  std::string_view raw = t.raw;
  constexpr std::string_view metaspace = "\xE2\x96\x81";
  while (!raw.empty()) {
    const bool blank = raw.starts_with(metaspace);
    text += blank ? ' ' : raw[0];
    raw.remove_prefix(blank ? metaspace.size() : 1);
  }
  return text;
}

/// The rule, read literally: user-defined tokens first, the longest; then code points join, of all
/// neighbours that together are a normal token those of the best score, the leftmost first.
class literal_rule {
 public:
  explicit literal_rule(const std::vector<token>& v) {
    for (std::size_t i = 0; i < v.size(); ++i) {
      const auto id = static_cast<token_id>(i);
      const token_kind kind{static_cast<std::uint8_t>(v[i].kind)};
      if (kind == token_kind::byte) {
        bytes_[std::stoul(v[i].raw.substr(3, 2), nullptr, 16)] = id;
      } else if (kind == token_kind::user_defined && !v[i].raw.empty()) {
        fixed_.push_back({text_of(v[i]), id, 0});
      } else if (kind == token_kind::normal && v[i].raw.find(' ') == std::string::npos) {
        normal_.push_back({text_of(v[i]), id, v[i].score});
      }
    }
  }

  /// None where some byte has no token and `unknown` is none. `lossless`: whether no token stands
  /// for text that it does not spell.
  std::optional<std::vector<token_id>> encode(std::string_view text,
                                              std::optional<token_id> unknown, bool& lossless) {
    struct symbol {
      std::string_view text;
      token_id id;
      bool fixed;
      const entry* joined;  // with the next one
    };
    std::vector<symbol> symbols;
    for (std::string_view rest = text; !rest.empty();) {
      const entry* longest = nullptr;
      for (const entry& e : fixed_)
        if (rest.starts_with(e.text) && (!longest || e.text.size() > longest->text.size()))
          longest = &e;
      const std::size_t n =
          longest ? longest->text.size() : weir::utf8::first_sequence(rest).length;
      const std::string_view part = rest.substr(0, n);
      const entry* const own = longest ? longest : find(part);
      symbols.push_back({part, own ? own->id : -1, longest != nullptr, nullptr});
      rest.remove_prefix(n);
    }
    const auto join = [&](std::size_t i) {
      if (i + 1 >= symbols.size()) return;
      symbol& a = symbols[i];
      const symbol& b = symbols[i + 1];
      a.joined =
          a.fixed || b.fixed ? nullptr : find({a.text.data(), a.text.size() + b.text.size()});
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) join(i);
    for (;;) {
      std::size_t best = symbols.size();
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
        if (symbols[i].joined &&
            (best == symbols.size() || symbols[i].joined->score > symbols[best].joined->score))
          best = i;
      if (best == symbols.size()) break;
      const entry* const e = symbols[best].joined;
      symbols[best] = {{symbols[best].text.data(), e->text.size()}, e->id, false, nullptr};
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      if (best > 0) join(best - 1);
      join(best);
    }
    lossless = true;
    std::vector<token_id> tokens;
    for (const symbol& s : symbols) {
      if (s.id >= 0) {
        tokens.push_back(s.id);
        continue;
      }
      const auto has_token = [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; };
      if (std::all_of(s.text.begin(), s.text.end(), has_token)) {
        for (const char c : s.text) tokens.push_back(bytes_[static_cast<unsigned char>(c)]);
        continue;
      }
      lossless = false;
      if (!unknown) return std::nullopt;
      tokens.push_back(*unknown);
    }
    return tokens;
  }

 private:
  struct entry {
    std::string text;
    token_id id;
    float score;
  };
  /// Of equal tokens the first.
  const entry* find(std::string_view text) const {
    for (const entry& e : normal_)
      if (e.text == text) return &e;
    return nullptr;
  }

  std::vector<entry> fixed_, normal_;
  std::vector<token_id> bytes_ = std::vector<token_id>(256, -1);
};

/// Bytes that are no character as U+FFFD.
std::string readable(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const weir::utf8::sequence s = weir::utf8::first_sequence(bytes);
    text +=
        s.kind == weir::utf8::status::whole ? bytes.substr(0, s.length) : weir::utf8::replacement;
    bytes.remove_prefix(s.length);
  }
  return text;
}

std::string any_text(fuzz_input& in) {
  std::string text;
  for (std::size_t n = in.within(0, 24); n > 0 && !in.empty(); --n)
    text += in.one_in(8) ? in.text(8) : in.pick(letters);
  return text;
}

void check_streamed(const tokenizer& t, std::span<const token_id> tokens) {
  weir::incremental_decoder decoder(t);
  std::string text;
  for (const token_id id : tokens) {
    text += decoder.push(id);
    check(decoder.held() <= 3, "three bytes are held back at most");
  }
  text += decoder.flush();
  check(weir::utf8::is_valid(text), "text token by token is UTF-8");
  check(text == readable(t.decode(tokens)), "text token by token is that of all tokens");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz_input in(data, size);
  const bool all_bytes = in.one_in(8);
  const std::vector<token> v = any_vocabulary(in, all_bytes);
  static image_writer image;
  const marks m = write(image, in, v);

  std::optional<tokenizer> made;
  if (!succeeds([&] { made.emplace(weir::gguf_file(image.bytes())); })) return 0;
  const tokenizer& t = *made;
  check(t.vocab_size() == v.size(), "its size");
  check(t.adds_space_prefix() == m.prefix && t.adds_bos() == (m.bos && t.bos().has_value()),
        "marks as the file says");

  literal_rule rule(v);
  for (std::size_t n = in.within(1, 3); n > 0; --n) {
    const std::string text = any_text(in);
    bool lossless = true;
    const std::string prefixed = (t.adds_space_prefix() && !text.empty() ? " " : "") + text;
    const auto expected = rule.encode(prefixed, t.unknown(), lossless);
    std::vector<token_id> tokens;
    const bool encoded = succeeds([&] { tokens = t.encode(text, false); });
    check(encoded == expected.has_value(), "refuses bytes that have no token, and nothing else");
    if (!encoded) continue;
    check(tokens == *expected, "the tokens that the rule gives");
    if (lossless) check(t.decode(tokens) == text, "decoded, the text that was encoded");
    check_streamed(t, tokens);

    std::vector<token_id> marked;
    const bool has_both = t.bos() && t.eos();
    check(succeeds([&] {
            marked = t.encode(text, {weir::mark::on, weir::mark::on});
          }) == has_both,
          "marks that the vocabulary lacks are refused");
    if (!has_both) continue;
    check(marked.front() == *t.bos() && marked.back() == *t.eos() &&
              std::equal(tokens.begin(), tokens.end(), marked.begin() + 1, marked.end() - 1),
          "BOS before the text, EOS behind it");
    check(t.ends_text(*t.eos()), "EOS ends a text");
  }

  std::vector<token_id> any;
  bool inside = true;
  for (std::size_t n = in.within(0, 12); n > 0; --n) {
    const token_id id =
        in.one_in(64) ? in.number<token_id>() : static_cast<token_id>(in.within(0, v.size() - 1));
    inside = inside && id >= 0 && static_cast<std::size_t>(id) < v.size();
    any.push_back(id);
  }
  check(succeeds([&] { (void)t.decode(any); }) == inside, "ids outside the vocabulary are refused");
  if (inside) check_streamed(t, any);
  return 0;
}
