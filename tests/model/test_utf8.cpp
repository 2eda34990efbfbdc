// Well-formed, cut and broken UTF-8 are told apart as Unicode defines it.
#include <cstdint>
#include <string>
#include <string_view>

#include "support/catch.hpp"

#include <weir/model/tokenizer/utf8.hpp>

namespace utf8 = weir::utf8;

namespace {

/// Whether a number is a code point that UTF-8 writes in exactly `length` bytes, read from bytes
/// without any of the decoder's tables.
bool well_formed(const std::string& s) {
  const auto b = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(s[i]));
  };
  std::uint32_t c = 0;
  std::size_t length = 0;
  if (b(0) < 0x80) {
    c = b(0);
    length = 1;
  } else if (b(0) >> 5 == 6) {
    c = b(0) & 31;
    length = 2;
  } else if (b(0) >> 4 == 14) {
    c = b(0) & 15;
    length = 3;
  } else if (b(0) >> 3 == 30) {
    c = b(0) & 7;
    length = 4;
  }
  if (length != s.size()) return false;
  for (std::size_t i = 1; i < length; ++i) {
    if (b(i) >> 6 != 2) return false;
    c = c << 6 | (b(i) & 63);
  }
  const std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  return c >= least[length] && c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
}

bool whole(const std::string& s) {
  const utf8::sequence first = utf8::first_sequence(s);
  return first.kind == utf8::status::whole && first.length == s.size();
}

}  // namespace

TEST_CASE("sequences of one to three bytes are whole exactly when they are well-formed") {
  bool equal = true;
  for (unsigned a = 0; a < 256; ++a) {
    const std::string one(1, static_cast<char>(a));
    equal = equal && whole(one) == well_formed(one);
    for (unsigned b = 0; b < 256; ++b) {
      const std::string two = one + static_cast<char>(b);
      equal = equal && whole(two) == well_formed(two);
      for (unsigned c = 0; c < 256; ++c) {
        const std::string three = two + static_cast<char>(c);
        equal = equal && whole(three) == well_formed(three);
      }
    }
  }
  REQUIRE(equal);
}

TEST_CASE("sequences of four bytes are whole exactly when they are well-formed") {
  bool equal = true;
  for (unsigned a = 0xE0; a < 256; ++a)
    for (unsigned b = 0x70; b < 0xD0; ++b)
      for (const unsigned c : {0x00u, 0x7Fu, 0x80u, 0x9Au, 0xBFu, 0xC0u, 0xFFu})
        for (const unsigned d : {0x00u, 0x7Fu, 0x80u, 0xA5u, 0xBFu, 0xC0u, 0xFFu}) {
          const std::string four = {static_cast<char>(a), static_cast<char>(b),
                                    static_cast<char>(c), static_cast<char>(d)};
          equal = equal && whole(four) == well_formed(four);
        }
  REQUIRE(equal);
}

TEST_CASE("a prefix of a sequence is cut, and what cannot go on is invalid at once") {
  const auto first = [](std::string_view s) { return utf8::first_sequence(s); };
  REQUIRE(first("\xC3").kind == utf8::status::cut);
  REQUIRE(first("\xE2\x82").kind == utf8::status::cut);
  REQUIRE(first("\xF0\x9F\xA6").kind == utf8::status::cut);
  REQUIRE(first("\xF0\x9F\xA6").length == 3);
  REQUIRE(first("\xE0\x80").kind == utf8::status::invalid);  // overlong
  REQUIRE(first("\xED\xA0").kind == utf8::status::invalid);  // surrogate
  REQUIRE(first("\xF4\x90").kind == utf8::status::invalid);  // above U+10FFFF
  REQUIRE(first("\xF0\x9F\xA6x").kind == utf8::status::invalid);
  REQUIRE(first("\xF0\x9F\xA6x").length == 3);
  REQUIRE(first("\x80").length == 1);
}
