// Vocabularies that break a rule: each is refused naming key and token.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"
#include "support/skip.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

using weir::gguf_file;
using weir::mark;
using weir::token_id;
using weir::token_kind;
using weir::tokenizer;
using namespace weir_test;
using parts = std::initializer_list<std::string_view>;

namespace {

gguf_builder file_of(const tiny_vocabulary& v) {
  gguf_builder b;
  v.write_to(b);
  return b;
}

/// The file itself loads; its vocabulary is refused.
void refused(const gguf_builder& b, parts where) {
  const gguf_file f(b.build(), "bad.gguf");
  require_refused<weir::error::bad_file>([&] { tokenizer t(f); }, {"bad.gguf"});
  require_refused<weir::error::bad_file>([&] { tokenizer t(f); }, where);
}
void refused(const tiny_vocabulary& v, parts where) { refused(file_of(v), where); }

const std::string tokens_key = "'tokenizer.ggml.tokens'";

}  // namespace

TEST_CASE("a tokenizer of another kind is refused by name") {
  gguf_builder b = file_of(tiny_vocabulary::least());
  refused(b.set("tokenizer.ggml.model", "gpt2"), {"'tokenizer.ggml.model'", "'gpt2'"});
  refused(b.erase("tokenizer.ggml.model"), {"'tokenizer.ggml.model'", "missing"});
}

TEST_CASE("scores shorter or longer than tokens are refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.scores.resize(GENERATE(0u, 1u, 3u, 5u));
  refused(v,
          {"'tokenizer.ggml.scores'", std::to_string(v.scores.size()) + " elements", "4 tokens"});
}

TEST_CASE("token types shorter or longer than tokens are refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.kinds.resize(GENERATE(0u, 1u, 3u, 5u), 1);
  refused(
      v, {"'tokenizer.ggml.token_type'", std::to_string(v.kinds.size()) + " elements", "4 tokens"});
}

TEST_CASE("missing or wrongly typed lists are refused") {
  const std::string key = GENERATE(as<std::string>{}, "tokenizer.ggml.tokens",
                                   "tokenizer.ggml.scores", "tokenizer.ggml.token_type");
  gguf_builder b = file_of(tiny_vocabulary::least());
  refused(b.set(key, 1u), {"'" + key + "'", "uint32", "expected array"});
  refused(b.set_array(key, 7, std::vector<std::uint8_t>{1, 1, 1, 1}),
          {"'" + key + "'", "array of bool"});
  refused(b.erase(key), {"'" + key + "'", "missing"});
}

TEST_CASE("token types and scores may be stored in any width") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("a", token_kind::normal, -1).add("b", token_kind::normal, -2);
  v.add("ab", token_kind::normal, -0.5f);
  const tokenizer expected{gguf_file(file_of(v).build())};
  gguf_builder b = file_of(v);
  b.set_array("tokenizer.ggml.scores", 12, std::vector<double>(v.scores.begin(), v.scores.end()));
  const std::vector<std::int8_t> kinds(v.kinds.begin(), v.kinds.end());
  for_each_integer_array(b, "tokenizer.ggml.token_type", kinds, [&](std::uint32_t type) {
    INFO(type);
    const tokenizer t{gguf_file(b.build())};
    for (std::size_t i = 0; i < v.kinds.size(); ++i)
      REQUIRE(t.kind(static_cast<token_id>(i)) == expected.kind(static_cast<token_id>(i)));
    REQUIRE(t.encode("ab ba abab", true) == expected.encode("ab ba abab", true));
  });
  b.set_array("tokenizer.ggml.scores", 12, std::vector<double>(v.scores.size(), 1e300));
  refused(b, {"'tokenizer.ggml.scores'", "1e+300", "float32"});
}

TEST_CASE("merges of known tokens are accepted, merges that name unknown ones refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("a").add("b").add("ab");
  gguf_builder b = file_of(v);
  const std::string key = "tokenizer.ggml.merges";
  using list = std::vector<std::string>;
  const auto merges = [&](const list& m) -> gguf_builder& { return b.set(key, m); };
  tokenizer t{gguf_file(merges({"a b"}).build())};
  refused(merges({"a b", "a c"}), {"'" + key + "'", "merge 1", "'c'"});
  refused(merges({"x b"}), {"merge 0", "'x'"});
  refused(merges({"b a"}), {"merge 0", "'ba'"});
  refused(merges({"ab"}), {"merge 0", "blank"});
  refused(merges({""}), {"merge 0", "blank"});
  refused(merges({"a "}), {"merge 0", "''"});
  refused(merges({" b"}), {"merge 0", "blank"});
  refused(merges({std::string(200000, 'a')}), {"merge 0", "200000 bytes"});
  refused(b.set(key, 1u), {"'" + key + "'", "uint32"});
}

TEST_CASE("special ids that reach the vocabulary's size are refused, if they are used") {
  const std::string key = std::string("tokenizer.ggml.") +
                          GENERATE(as<std::string>{}, "bos", "eos", "unknown", "eot", "eom") +
                          "_token_id";
  const std::uint32_t id = GENERATE(4u, 5u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFEu);
  gguf_builder b = file_of(tiny_vocabulary::least());
  refused(b.set(key, id), {"'" + key + "'", std::to_string(id), "4 tokens"});
  refused(b.set(key, "1"), {"'" + key + "'", "string", "expected uint32"});
}

TEST_CASE("a special id of -1 is none, and one that nobody reads may be anything") {
  gguf_builder b = file_of(tiny_vocabulary::least());
  b.set("tokenizer.ggml.padding_token_id", std::int32_t{-1});
  b.set("tokenizer.ggml.seperator_token_id", 4711u).set("tokenizer.ggml.mask_token_id", "mask");
  REQUIRE(tokenizer(gguf_file(b.build())).bos().has_value());
  b.set("tokenizer.ggml.bos_token_id", std::int32_t{-1});
  b.set("tokenizer.ggml.eos_token_id", 0xFFFFFFFFu);
  const tokenizer none{gguf_file(b.build())};
  REQUIRE_FALSE(none.bos().has_value());
  REQUIRE_FALSE(none.eos().has_value());
  REQUIRE_FALSE(none.adds_bos());
  b.set("tokenizer.ggml.bos_token_id", std::uint64_t{1});
  REQUIRE(tokenizer(gguf_file(b.build())).bos() == 1);
}

TEST_CASE("the file says whether BOS and EOS are put to a text, and the caller overrules it") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("a");
  const token_id a = static_cast<token_id>(v.tokens.size() - 1);
  for (const bool bos : {false, true})
    for (const bool eos : {false, true}) {
      gguf_builder b = file_of(v);
      b.set("tokenizer.ggml.add_space_prefix", false);
      b.set("tokenizer.ggml.add_bos_token", bos).set("tokenizer.ggml.add_eos_token", eos);
      const tokenizer t{gguf_file(b.build())};
      for (const mark first : {mark::by_file, mark::on, mark::off})
        for (const mark last : {mark::by_file, mark::on, mark::off}) {
          std::vector<token_id> expected;
          if (first == mark::on || (first == mark::by_file && bos)) expected.push_back(*t.bos());
          expected.push_back(a);
          if (last == mark::on || (last == mark::by_file && eos)) expected.push_back(*t.eos());
          CHECK(t.encode("a", {first, last}) == expected);
        }
    }
  gguf_builder b = file_of(v);
  b.set("tokenizer.ggml.eos_token_id", std::int32_t{-1});
  const tokenizer without{gguf_file(b.build())};
  require_refused<weir::error::bad_input>([&] { without.encode("a", {.eos = mark::on}); },
                                          {"EOS", "has none"});
}

TEST_CASE("all tokens that end a text or a turn are known") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("<|im_end|>", token_kind::control).add("<|eot_id|>").add("eot", token_kind::control);
  const auto first = static_cast<token_id>(v.tokens.size() - 3);
  gguf_builder b = file_of(v);
  const tokenizer by_name{gguf_file(b.build())};
  CHECK(by_name.ends_text(*by_name.eos()));
  CHECK(by_name.ends_text(first));
  CHECK_FALSE(by_name.ends_text(first + 1));  // text that spells one is text
  CHECK_FALSE(by_name.ends_text(first + 2));
  b.set("tokenizer.ggml.eot_token_id", static_cast<std::uint32_t>(first + 2));
  const tokenizer by_key{gguf_file(b.build())};
  CHECK(by_key.ends_text(first + 2));
  CHECK(by_key.ends().size() == 3);
}

TEST_CASE("default special ids outside a vocabulary of one or two tokens are none") {
  const std::size_t size = GENERATE(1u, 2u);
  tiny_vocabulary v = tiny_vocabulary::least();
  v.tokens.resize(size);
  v.scores.resize(size);
  v.kinds.resize(size);
  gguf_builder b = file_of(v);
  for (const char* id : {"bos_token_id", "eos_token_id", "unknown_token_id"})
    b.erase("tokenizer.ggml." + std::string(id));
  b.set("tokenizer.ggml.add_eos_token", true);
  const tokenizer t{gguf_file(b.build())};
  REQUIRE(t.vocab_size() == size);
  REQUIRE(t.bos() == (size == 1 ? std::nullopt : std::optional<token_id>(1)));
  REQUIRE_FALSE(t.eos().has_value());
  REQUIRE_FALSE(t.adds_eos());
  REQUIRE(t.unknown() == 0);
  // Named by the file, the same ids are its mistake.
  refused(b.set("tokenizer.ggml.eos_token_id", 2u), {"eos_token_id", std::to_string(size)});
}

TEST_CASE("byte tokens that spell no byte are refused, as text they are fine") {
  const std::string spelled =
      GENERATE(as<std::string>{}, "<0x-1>", "<0xZZ>", "<0x", "<0x>", "<0x0>", "<0x000>", "<0x 1>",
               "<0x1G>", "0x41", "<0X41>", "<0x41", "<0x+1>", "", "a");
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add(spelled, token_kind::byte);
  refused(v, {tokens_key, "byte token 4", "'" + spelled + "'"});
  v.kinds[4] = 1;
  REQUIRE(tokenizer(gguf_file(file_of(v).build())).piece(4) == spelled);
}

TEST_CASE("two tokens for one byte are refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("<0xAB>", token_kind::byte).add("<0xab>", token_kind::byte);
  refused(v, {tokens_key, "byte token 5", "token 4"});
}

TEST_CASE("a token of 65536 bytes is refused, one of 65535 is not") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add(std::string(65535, 'x'));
  REQUIRE(tokenizer(gguf_file(file_of(v).build())).longest_piece() == 65535);
  v.tokens.back() += 'x';
  refused(v, {tokens_key, "token 4", "65536 bytes"});
}

TEST_CASE("a token of 2^31 bytes is refused without reading it") {
  // The token's bytes are a hole in a sparse file; lists around it are in order.
  constexpr std::uint64_t size = std::uint64_t{1} << 31;
  gguf_builder b;
  tiny_vocabulary::least().write_to(b);
  b.keys.erase(b.keys.begin() + 1);
  byte_writer head;
  head.put(b.magic).put(b.version).put<std::uint64_t>(0).put<std::uint64_t>(b.keys.size() + 1);
  head.put_string("tokenizer.ggml.tokens").put<std::uint32_t>(9).put<std::uint32_t>(8);
  head.put<std::uint64_t>(4).put_string("<unk>").put_string("<s>").put_string("</s>");
  head.put<std::uint64_t>(size);
  byte_writer tail;
  for (const auto& k : b.keys) tail.put_string(k.key).put(k.type).append(k.value);

  const auto path = std::filesystem::temp_directory_path() /
                    ("weir-huge-token-" + std::to_string(::getpid()) + ".gguf");
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  REQUIRE(file >= 0);
  const auto at = static_cast<off_t>(head.data.size() + size);
  const bool written = ::write(file, head.data.data(), head.data.size()) >= 0 &&
                       ::pwrite(file, tail.data.data(), tail.data.size(), at) ==
                           static_cast<ssize_t>(tail.data.size());
  ::close(file);
  if (written) {
    const gguf_file f(path);
    require_refused<weir::error::bad_file>([&] { tokenizer t(f); },
                                           {tokens_key, "token 3", "2147483648 bytes"});
  } else {
    weir_test::note_skip("no room for a sparse file of 2 GiB");
  }
  std::filesystem::remove(path);
}

TEST_CASE("an empty vocabulary is refused") { refused(tiny_vocabulary{}, {tokens_key, "empty"}); }

TEST_CASE("of equal tokens the first is found, and each can be decoded") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.add("dup").add("other").add("dup").add("").add("").add("d").add("u").add("p").add("du");
  gguf_builder b = file_of(v);
  b.set("tokenizer.ggml.add_space_prefix", false);
  const tokenizer t{gguf_file(b.build())};
  REQUIRE(t.piece(4) == "dup");
  REQUIRE(t.piece(6) == "dup");
  REQUIRE(t.piece(7).empty());
  const std::vector<token_id> ids = t.encode("dup", false);
  REQUIRE(std::find(ids.begin(), ids.end(), 6) == ids.end());
  REQUIRE(t.decode(ids) == "dup");
}

TEST_CASE("what a file spells stays on one short line of the message") {
  tiny_vocabulary v = tiny_vocabulary::least();
  const std::string long_token = "two\nlines \x1B[2J" + std::string(1000, 'x');
  v.add(long_token, token_kind::byte);
  refused(v, {tokens_key, "'two\\x0Alines \\x1B[2Jxxx", "xxx...'"});
  gguf_builder b = file_of(tiny_vocabulary::least());
  refused(b.set("tokenizer.ggml.model", "a\nb"), {"'a\\x0Ab'"});
}

TEST_CASE("tokens of invalid UTF-8 are refused, whatever their kind") {
  const std::string token = GENERATE(as<std::string>{}, "\xFF", "a\x80", "\xC3", "\xE2\x96",
                                     "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\xAF");
  for (const int kind : {1, 2, 3, 4, 5, 6}) {
    tiny_vocabulary v = tiny_vocabulary::least();
    v.add(token, static_cast<token_kind>(kind));
    refused(v, {tokens_key, "token 4", "UTF-8"});
  }
}

TEST_CASE("scores that are not finite are refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.scores[2] =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
               -std::numeric_limits<float>::infinity());
  refused(v, {"'tokenizer.ggml.scores'", "token 2", "'</s>'"});
}

TEST_CASE("token types outside 1 ... 6 are refused") {
  tiny_vocabulary v = tiny_vocabulary::least();
  v.kinds[3] = GENERATE(0, 7, -1, std::numeric_limits<std::int32_t>::min(),
                        std::numeric_limits<std::int32_t>::max(), 257);
  refused(v, {"'tokenizer.ggml.token_type'", std::to_string(v.kinds[3]), "token 3"});
}

TEST_CASE("switches that are no bools are refused") {
  const std::string key = GENERATE(as<std::string>{}, "tokenizer.ggml.add_space_prefix",
                                   "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token");
  gguf_builder b = file_of(tiny_vocabulary::least());
  refused(b.set(key, 1u), {"'" + key + "'", "uint32", "expected bool"});
}
