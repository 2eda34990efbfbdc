// GGUF containers that break a rule: each is refused with a typed error that says where.
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/gguf_builder.hpp"
#include "support/refusal.hpp"

#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

using weir::ggml_type;
using weir::gguf_file;
using namespace weir_test;
using parts = std::initializer_list<std::string_view>;

namespace {

constexpr std::uint64_t u64_max = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t u63 = std::uint64_t{1} << 63;

void refused(const bytes& image, parts where) {
  require_refused<weir::error::bad_file>([&] { gguf_file f(image, "bad.gguf"); }, where);
}
void refused(const gguf_builder& b, parts where) { refused(b.build(), where); }

bytes text(std::string_view s) {
  const auto b = std::as_bytes(std::span(s));
  return bytes(b.begin(), b.end());
}

/// A file with one tensor of 8 F32 numbers to break.
gguf_builder one_tensor() {
  gguf_builder b;
  b.set("general.name", "x");
  b.add_tensor("weight", ggml_type::float32, {8}, bytes(32));
  return b;
}

gguf_builder one_key(std::uint32_t type, byte_writer value) {
  gguf_builder b;
  b.set_raw("the.key", type, std::move(value));
  b.set("general.name", "x");
  return b;
}

byte_writer array_head(std::uint32_t element, std::uint64_t count) {
  return byte_writer().put(element).put(count);
}

}  // namespace

// --- header ---

TEST_CASE("an empty file is refused") { refused(bytes{}, {"bad.gguf", "byte 0", "empty"}); }

TEST_CASE("a pipe that nobody writes to is refused at once") {
  const std::string path = "weir-pipe-" + std::to_string(::getpid());
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  weir_test::require_refused<weir::error::bad_file>([&] { weir::gguf_file file(path); },
                                                    {path, "not a regular file"});
  ::unlink(path.c_str());
}

TEST_CASE("a file of three bytes is refused") {
  refused(text("GGU"), {"bad.gguf", "byte 0", "magic", "needs"});
}

TEST_CASE("a wrong magic is refused") {
  gguf_builder b = one_tensor();
  b.magic = 0x12345678u;
  refused(b, {"byte 0", "magic"});
}

TEST_CASE("a byte-swapped magic or version is refused as big-endian") {
  gguf_builder b = one_tensor();
  b.magic = 0x47475546u;
  refused(b, {"byte 0", "magic", "little-endian"});
  b = one_tensor();
  b.version = 0x03000000u;
  refused(b, {"byte 4", "version", "little-endian"});
}

TEST_CASE("versions 0, 1, 4 and beyond are refused") {
  const std::uint32_t version = GENERATE(0u, 1u, 4u, 5u, 0xFFFFFFFFu);
  gguf_builder b = one_tensor();
  b.version = version;
  refused(b, {"byte 4", "version", std::to_string(version), "expected 2 or 3"});
}

TEST_CASE("a tensor count of 2^64-1, of 2^63, or that wraps when multiplied is refused") {
  const std::uint64_t count = GENERATE(as<std::uint64_t>{}, u64_max, u63, u64_max / 33 + 1,
                                       u64_max / 80 + 1, u64_max / 64 + 1, std::uint64_t{1} << 32);
  gguf_builder b = one_tensor();
  b.tensor_count = count;
  refused(b, {"byte 8", "tensor count", std::to_string(count)});
}

TEST_CASE("a key count of 2^64-1 or that wraps when multiplied is refused") {
  const std::uint64_t count = GENERATE(as<std::uint64_t>{}, u64_max, u63, u64_max / 14 + 1,
                                       u64_max / 64 + 1, std::uint64_t{1} << 32);
  gguf_builder b = one_tensor();
  b.key_count = count;
  refused(b, {"byte 16", "key count", std::to_string(count)});
}

TEST_CASE("one key more than there are is refused") {
  gguf_builder b = one_tensor();
  b.key_count = 2;
  refused(b, {"bad.gguf", "byte "});
}

TEST_CASE("one tensor more than there are is refused") {
  gguf_builder b = one_tensor();
  b.tensor_count = 2;
  refused(b, {"bad.gguf", "byte ", "tensor"});
}

TEST_CASE("a file cut short at any byte is refused") {
  const bytes whole = GENERATE(one_tensor().build(), least_llama().build());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    bool thrown = false;
    try {
      gguf_file f(cut, "cut.gguf");
    } catch (const weir::error::bad_file& e) {
      thrown = std::string_view(e.what()).starts_with("cut.gguf: ");
    }
    INFO("cut after " << n << " of " << whole.size() << " bytes");
    REQUIRE(thrown);
  }
  gguf_file f(whole);
}

// --- keys and values ---

TEST_CASE("a key length of 2^64-1, or past the end, is refused") {
  gguf_builder b = one_tensor();
  const auto rest = static_cast<std::uint64_t>(b.build().size()) - 24 - 8;
  b.keys[0].key_length = GENERATE_COPY(as<std::uint64_t>{}, u64_max, u63, rest + 1, rest + 1000);
  refused(b, {"byte 32", "key", std::to_string(*b.keys[0].key_length)});
}

TEST_CASE("an empty key is refused") {
  gguf_builder b;
  b.set("", std::uint32_t{1});
  refused(b, {"byte 24", "key is empty"});
}

TEST_CASE("a key with a NUL, another control character or invalid UTF-8 is refused") {
  gguf_builder b;
  b.set(GENERATE(as<std::string>{}, std::string("a\0b", 3), "\xFF", "a\xC3", "\xED\xA0\x80",
                 "\xC0\x80", "a\nb", "\x1B[2J"),
        std::uint32_t{1});
  refused(b, {"byte 24", "key", "UTF-8"});
}

TEST_CASE("a key beyond 65535 bytes is refused") {
  gguf_builder b;
  b.set(std::string(65536, 'k'), std::uint32_t{1});
  refused(b, {"byte 24", "65536"});
  b.keys[0].key.pop_back();
  gguf_file f(b.build());
}

TEST_CASE("value types from 13 on, negative ones included, are refused") {
  const std::uint32_t type = GENERATE(13u, 14u, 255u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu);
  refused(one_key(type, byte_writer().put<std::uint64_t>(1)),
          {"byte 39", "'the.key'", "value type", std::to_string(type), "expected 0 ... 12"});
}

TEST_CASE("a key that appears twice is refused") {
  gguf_builder b = one_tensor();
  b.keys.push_back(b.keys[0]);
  refused(b, {"byte ", "'general.name'", "twice"});
}

TEST_CASE("a string length of 2^64-1, or one past the end, is refused") {
  gguf_builder b;
  const std::uint64_t length =
      GENERATE(as<std::uint64_t>{}, u64_max, u64_max - 1, u63, std::uint64_t{4});
  b.set_raw("the.key", 8, byte_writer().put_string("abc", length));
  refused(b, {"byte ", "the.key", std::to_string(length)});
}

TEST_CASE("an array of an unknown type is refused") {
  refused(one_key(9, array_head(13, 0)), {"byte 43", "'the.key'", "value type 13"});
  refused(one_key(9, array_head(0xFFFFFFFFu, 0)), {"byte 43", "'the.key'", "value type"});
}

TEST_CASE("an array count of 2^64-1, or that wraps when multiplied, is refused") {
  const std::uint32_t element = GENERATE(0u, 2u, 4u, 6u, 7u, 8u, 10u, 12u);
  const std::uint64_t count = GENERATE(as<std::uint64_t>{}, u64_max, u63, u64_max / 2 + 1,
                                       u64_max / 4 + 2, u64_max / 8 + 2, u64_max / 16 + 2);
  refused(one_key(9, array_head(element, count).put<std::uint64_t>(0)),
          {"byte ", "the.key", std::to_string(count)});
}

TEST_CASE("2^40 strings in a short file are refused at once") {
  refused(one_key(9, array_head(8, std::uint64_t{1} << 40).put<std::uint64_t>(0)),
          {"byte ", "'the.key'", "1099511627776", "room for"});
}

TEST_CASE("a string in an array that passes the end is refused") {
  refused(one_key(9, array_head(8, 2).put_string("a").put_string("b", u64_max)),
          {"byte ", "the.key", "18446744073709551615"});
}

TEST_CASE("nested arrays are refused") {
  refused(one_key(9, array_head(9, 1).append(array_head(4, 0))), {"'the.key'", "array of arrays"});
}

TEST_CASE("arrays nested 10,000 deep are refused without recursion") {
  byte_writer deep;
  for (int i = 0; i < 10000; ++i) deep.append(array_head(9, 1));
  refused(one_key(9, std::move(deep)), {"'the.key'", "array of arrays"});
}

TEST_CASE("a bool of 2 is refused, alone and in an array") {
  refused(one_key(7, byte_writer().put<std::uint8_t>(2)), {"'the.key'", "bool 2"});
  refused(
      one_key(9, array_head(7, 3).put<std::uint8_t>(0).put<std::uint8_t>(1).put<std::uint8_t>(255)),
      {"'the.key'", "bool 255"});
}

// --- alignment ---

TEST_CASE("an alignment of 0, 13, 0x80000000 or another odd number is refused") {
  const std::uint32_t alignment = GENERATE(0u, 13u, 0x80000000u, 1u, 4u, 33u, 131072u);
  gguf_builder b = one_tensor();
  b.set("general.alignment", alignment);
  refused(b, {"'general.alignment'", std::to_string(alignment), "power of two"});
}

TEST_CASE("an alignment of the wrong type, a string for one, is refused") {
  gguf_builder b = one_tensor();
  b.set("general.alignment", 32.0f);
  refused(b, {"'general.alignment'", "float32", "expected uint32"});
  b.set("general.alignment", std::int32_t{-32});
  refused(b, {"'general.alignment'", "-32", "expected 0 to"});
  b.set("general.alignment", "32");
  refused(b, {"'general.alignment'", "string", "expected uint32"});
}

// --- tensors ---

TEST_CASE("a tensor name of 64 bytes or more is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].name = std::string(64, 'n');
  refused(b, {"byte ", "tensor name", "64", "63"});
  b.tensors[0].name.pop_back();
  gguf_file f(b.build());
}

TEST_CASE("a tensor name length of 2^64-1 is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].name_length = u64_max;
  refused(b, {"byte ", "tensor name", "18446744073709551615"});
}

TEST_CASE("a tensor name that is empty, holds a control character or is not UTF-8 is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].name = GENERATE(as<std::string>{}, "", std::string("w\0", 2), "\x80", "a\nb");
  refused(b, {"byte ", "tensor name"});
}

TEST_CASE("a tensor name that appears twice is refused") {
  gguf_builder b = one_tensor();
  b.add_tensor("weight", ggml_type::float32, {8}, bytes(32));
  refused(b, {"byte ", "tensor 'weight'", "twice"});
}

TEST_CASE("no dimensions, five, or 2^32-1 are refused") {
  const std::uint32_t rank = GENERATE(0u, 5u, 0x80000000u, 0xFFFFFFFFu);
  gguf_builder b = one_tensor();
  b.tensors[0].rank = rank;
  refused(b, {"byte ", "'weight'", std::to_string(rank), "dimensions", "1 ... 4"});
}

TEST_CASE("a dimension of -1 is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].dims = {u64_max};
  refused(b, {"byte ", "'weight'", "dimension 0", "18446744073709551615"});
  b.tensors[0].dims = {8, u64_max};
  refused(b, {"byte ", "'weight'", "dimension 1", "18446744073709551615"});
}

TEST_CASE("a dimension of 0 is held without data, in every place and type") {
  const auto type = GENERATE(ggml_type::float32, ggml_type::q8_0);
  const std::vector<std::uint64_t> dims = GENERATE(
      std::vector<std::uint64_t>{0}, std::vector<std::uint64_t>{32, 0},
      std::vector<std::uint64_t>{0, 32}, std::vector<std::uint64_t>{32, 0, std::uint64_t{1} << 50});
  gguf_builder b = one_tensor();
  b.add_tensor("void", type, dims, {});
  const gguf_file f(b.build());
  REQUIRE(f.tensor("void").data.empty());
}

TEST_CASE("dimensions whose product reaches 2^63 are refused, also beside a 0") {
  const std::uint64_t big = std::uint64_t{1} << 32;
  const std::vector<std::uint64_t> dims = GENERATE_COPY(
      std::vector<std::uint64_t>{u63}, std::vector<std::uint64_t>{big, big / 2},
      std::vector<std::uint64_t>{big, big}, std::vector<std::uint64_t>{big, big, big, big},
      std::vector<std::uint64_t>{0, big, big}, std::vector<std::uint64_t>{big, 0, big});
  gguf_builder b = one_tensor();
  b.tensors[0].dims = dims;
  refused(b, {"byte ", "'weight'", "dimension", "2^63"});
}

TEST_CASE("a byte size that wraps is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].dims = {
      GENERATE(std::uint64_t{1} << 62, (std::uint64_t{1} << 62) + 8, (std::uint64_t{1} << 61))};
  refused(b, {"byte ", "'weight'", "2^63 bytes"});
}

TEST_CASE("a type id that is out of range or was removed is refused") {
  const std::uint32_t type =
      GENERATE(4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 42u, 255u, 0x80000000u, 0xFFFFFFFFu);
  gguf_builder b = one_tensor();
  b.tensors[0].type = type;
  refused(b, {"byte ", "'weight'", "type " + std::to_string(type), "unknown or was removed"});
}

TEST_CASE("rows that are no whole number of blocks are refused") {
  gguf_builder b = one_tensor();
  const auto type = GENERATE(ggml_type::q8_0, ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0,
                             ggml_type::q5_1, ggml_type::q4_k, ggml_type::q5_k, ggml_type::q6_k);
  const auto& layout = *weir::layout_of(type);
  b.tensors[0].type = static_cast<std::uint32_t>(type);
  for (const std::uint64_t cols :
       {1u, layout.elements - 1, layout.elements + 1, layout.elements * 3 / 2}) {
    b.tensors[0].dims = {cols, 256};
    refused(b, {"byte ", "'weight'", std::to_string(cols),
                "multiple of " + std::to_string(layout.elements), std::string(layout.name)});
  }
}

TEST_CASE("an unaligned offset is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].offset = GENERATE(1u, 16u, 31u);
  refused(b, {"byte ", "'weight'", "offset", "multiple of 32"});
}

TEST_CASE("an offset of 2^64-1 or near it is refused") {
  gguf_builder b = one_tensor();
  b.tensors[0].offset = GENERATE(as<std::uint64_t>{}, u64_max, u64_max - 31, u63);
  refused(b, {"'weight'", "offset", std::to_string(*b.tensors[0].offset)});
}

TEST_CASE("a tensor that ends one byte past the file is refused") {
  bytes image = one_tensor().build();
  image.pop_back();
  refused(image, {"tensor 'weight'", "32 bytes at offset 0", "has 31"});
}

TEST_CASE("tensors that overlap are refused, in any order") {
  gguf_builder b;
  b.add_tensor("first", ggml_type::float32, {16}, bytes(64));
  b.add_tensor("second", ggml_type::float32, {16}, bytes(64));
  b.tensors[1].offset = GENERATE(0u, 32u);
  refused(b, {"'first'", "'second'", "overlaps"});
  std::swap(b.tensors[0], b.tensors[1]);
  b.tensors[1].offset = 0;
  refused(b, {"'first'", "'second'", "overlaps"});
}

TEST_CASE("gaps between tensors and bytes after the last are allowed") {
  gguf_builder b;
  b.add_tensor("first", ggml_type::float32, {8}, bytes(128));
  b.add_tensor("second", ggml_type::float32, {8}, bytes(64));
  const gguf_file f(b.build());
  REQUIRE(f.tensor("first").data.size() == 32);
  REQUIRE(f.tensor("second").offset == 128);
}

TEST_CASE("two tensors whose sizes sum to a small number by wrapping are refused") {
  constexpr std::uint64_t huge = 0x7FFFFFFFFFFFFFC0u;
  gguf_builder b;
  for (const char* name : {"first", "second"})
    b.add_tensor(name, static_cast<ggml_type>(24), {huge}, {});  // I8: one byte an element
  SECTION("both at 0") {}
  SECTION("one after the other") { b.tensors[1].offset = huge; }
  b.add_tensor("third", ggml_type::float32, {32}, bytes(128));
  refused(b, {"tensor 'first'", "9223372036854775744 bytes"});
}

TEST_CASE("a size within one padding of the maximum is refused") {
  gguf_builder b;
  b.add_tensor("w", static_cast<ggml_type>(24), {GENERATE(u63 - 1, u63 - 31, u63 - 32)}, bytes(32));
  b.tensors[0].offset = GENERATE(std::uint64_t{0}, std::uint64_t{32}, u64_max - 31);
  refused(b, {"tensor 'w'", "bytes at offset"});
}

TEST_CASE("a file that ends before its data section is refused") {
  gguf_builder b;
  b.add_tensor("void", ggml_type::float32, {0}, {});
  bytes image = b.build();
  image.resize(24 + 8 + 4 + 4 + 8 + 4 + 8);
  refused(image, {"data section", "64"});
}

// --- mutations ---

namespace {

/// Everything that reading a model from a file does.
void load_all(const bytes& image) {
  const gguf_file f(image);
  const weir::tokenizer t(f);
  const weir::llama_config c = weir::read_llama_config(f);
  const weir::llama_weights w = weir::read_llama_weights(f, c);
  const auto ids = t.encode("ab ba\xFF", false);
  (void)t.decode(ids);
  // Touch what the views promise.
  float sum = 0;
  for (const float x : w.output_norm) sum += x;
  const volatile std::byte last = w.layers.back().down.data[w.layers.back().down.bytes() - 1];
  (void)last;
  (void)sum;
}

/// Loads or throws one of weir's errors; anything else fails the test.
bool loads(const bytes& image) {
  try {
    load_all(image);
    return true;
  } catch (const weir::error::base&) {
    return false;
  }
}

}  // namespace

TEST_CASE("every number overwritten by every hostile value loads or is refused") {
  const byte_writer whole = least_llama().write();
  REQUIRE(loads(whole.data));
  int refusals = 0;
  int mutants = 0;
  for (const byte_writer::field f : whole.fields) {
    std::uint64_t old = 0;
    std::memcpy(&old, whole.data.data() + f.offset, f.size);
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, old + 1, old - 1, old * 2, old + 32, old | u63,
          old ^ 0x80000000u, std::uint64_t{0x7FFFFFFF}, std::uint64_t{0x80000000},
          std::uint64_t{0xFFFFFFFF}, u63, u63 - 1, u64_max, u64_max - 31, u64_max / 8 + 1,
          std::uint64_t{1} << 40, std::uint64_t{0x7FC00000}}) {
      bytes mutant = whole.data;
      std::memcpy(mutant.data() + f.offset, &value, f.size);
      ++mutants;
      refusals += !loads(mutant);
    }
  }
  REQUIRE(mutants > 1000);
  REQUIRE(refusals > mutants / 2);
}

TEST_CASE("random bytes overwritten, removed or inserted load or are refused") {
  const byte_writer whole = least_llama().write();
  // Metadata and tensor records make up the head; flipped weights teach nothing.
  const std::size_t head = whole.fields.back().offset + 8;
  std::mt19937 random(20240617);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  int refusals = 0;
  for (int i = 0; i < 6000; ++i) {
    bytes mutant = whole.data;
    for (std::size_t n = 1 + below(3); n > 0; --n) {
      const std::size_t at = below(head);
      const auto byte = static_cast<std::byte>(random());
      switch (below(5)) {
        case 0:
          mutant[at] = byte;
          break;
        case 1:
          mutant[at] ^= static_cast<std::byte>(1u << below(8));
          break;
        case 2:
          mutant.erase(mutant.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        case 3:
          mutant.insert(mutant.begin() + static_cast<std::ptrdiff_t>(at), byte);
          break;
        default: {  // copy a stretch from elsewhere
          const std::size_t from = below(head);
          const std::size_t length = std::min(1 + below(24), mutant.size() - std::max(at, from));
          std::memmove(mutant.data() + at, mutant.data() + from, length);
        }
      }
    }
    refusals += !loads(mutant);
  }
  REQUIRE(refusals > 1000);
}
