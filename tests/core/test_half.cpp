// The scalar conversions define what every vector conversion must give, so they are checked
// against a plain reading of IEEE 754, and against the processor where it can convert.

#include <weir/core/half.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "support/catch.hpp"

namespace {

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }
float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

template <class Half>
struct format;

template <>
struct format<weir::f16> {
  static constexpr int mantissa_bits = 10;
  static constexpr int bias = 15;
  static constexpr std::uint32_t infinity = 0x7C00;
  static constexpr std::uint32_t quiet = 0x0200;
};

template <>
struct format<weir::bf16> {
  static constexpr int mantissa_bits = 7;
  static constexpr int bias = 127;
  static constexpr std::uint32_t infinity = 0x7F80;
  static constexpr std::uint32_t quiet = 0x0040;
};

template <class Half>
Half pattern(std::uint32_t bits) {
  return Half{static_cast<std::uint16_t>(bits)};
}

/// The value of a positive pattern by the definition of its format. Infinity's pattern gives the
/// value that the binade after the last one would begin with, which is what rounding goes by.
template <class Half>
double value_of(std::uint32_t bits) {
  using f = format<Half>;
  const int exponent = static_cast<int>(bits >> f::mantissa_bits);
  const int mantissa = static_cast<int>(bits & ((1u << f::mantissa_bits) - 1));
  if (exponent == 0) return std::ldexp(mantissa, 1 - f::bias - f::mantissa_bits);
  return std::ldexp(mantissa + (1 << f::mantissa_bits), exponent - f::bias - f::mantissa_bits);
}

/// The pattern nearest to x, which is no NaN; ties go to the even one. By bisection over them all.
template <class Half>
std::uint32_t nearest(float x) {
  const double wanted = std::fabs(static_cast<double>(x));
  const std::uint32_t sign = std::signbit(x) ? 0x8000u : 0u;
  std::uint32_t below = 0;
  std::uint32_t above = format<Half>::infinity;
  if (wanted >= value_of<Half>(above)) return sign | above;
  while (above - below > 1) {  // value(below) <= wanted < value(above)
    const std::uint32_t middle = (below + above) / 2;
    (value_of<Half>(middle) <= wanted ? below : above) = middle;
  }
  const double down = wanted - value_of<Half>(below);
  const double up = value_of<Half>(above) - wanted;
  return sign | (down < up || (down == up && below % 2 == 0) ? below : above);
}

/// All half values and the midpoints between neighbours, the floats beside them, both signs.
template <class Half>
std::vector<float> floats_around_every_half() {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> all;
  for (std::uint32_t h = 0; h < format<Half>::infinity; ++h) {
    const double low = value_of<Half>(h);
    const double middle = (low + value_of<Half>(h + 1)) / 2;
    for (const double exact : {low, middle}) {
      const auto center = static_cast<float>(exact);
      for (const float x :
           {std::nextafter(center, -infinity), center, std::nextafter(center, infinity)}) {
        all.push_back(x);
        all.push_back(-x);
      }
    }
  }
  return all;
}

/// A million float patterns evenly spread over all 2^32: every binade, both signs, no NaN.
std::vector<float> floats_of_every_size() {
  std::vector<float> all;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4099)
    if (const float x = float_of(static_cast<std::uint32_t>(bits)); !std::isnan(x))
      all.push_back(x);
  all.push_back(std::numeric_limits<float>::infinity());
  all.push_back(std::numeric_limits<float>::max());
  all.push_back(std::numeric_limits<float>::denorm_min());
  return all;
}

/// NaNs quiet and signalling, with payloads in every bit, both signs.
std::vector<float> nans() {
  std::vector<float> all;
  for (int bit = 0; bit < 23; ++bit)
    for (const std::uint32_t sign : {0u, 0x80000000u})
      for (const std::uint32_t quiet : {0u, 0x00400000u})
        all.push_back(float_of(sign | 0x7F800000u | quiet | (1u << bit)));
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("every half pattern has the value its format defines", "", weir::f16,
                   weir::bf16) {
  int wrong = 0;
  for (std::uint32_t h = 0; h < format<TestType>::infinity; ++h) {
    const auto expected = static_cast<float>(value_of<TestType>(h));
    wrong += bits_of(weir::to_float(pattern<TestType>(h))) != bits_of(expected);
    wrong += bits_of(weir::to_float(pattern<TestType>(h | 0x8000u))) != bits_of(-expected);
  }
  CHECK(wrong == 0);
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(weir::to_float(pattern<TestType>(format<TestType>::infinity)) == infinity);
  CHECK(weir::to_float(pattern<TestType>(format<TestType>::infinity | 0x8000u)) == -infinity);
}

TEMPLATE_TEST_CASE("every half pattern survives a round trip; NaNs come back quiet", "", weir::f16,
                   weir::bf16) {
  int wrong = 0;
  for (std::uint32_t h = 0; h <= 0xFFFFu; ++h) {
    const bool nan = (h & 0x7FFFu) > format<TestType>::infinity;
    const auto half = pattern<TestType>(h);
    const auto expected = pattern<TestType>(nan ? h | format<TestType>::quiet : h);
    wrong += std::isnan(weir::to_float(half)) != nan;
    wrong += weir::round_to<TestType>(weir::to_float(half)) != expected;
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("rounding picks the nearest half, ties to even, overflow to infinity", "",
                   weir::f16, weir::bf16) {
  int wrong = 0;
  for (const auto& floats : {floats_around_every_half<TestType>(), floats_of_every_size()})
    for (const float x : floats)
      if (weir::round_to<TestType>(x) != pattern<TestType>(nearest<TestType>(x)) && ++wrong == 1)
        UNSCOPED_INFO("first wrong at float bits " << bits_of(x));
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("NaN stays NaN, becomes quiet and keeps its sign and upper payload", "",
                   weir::f16, weir::bf16) {
  constexpr int dropped = 23 - format<TestType>::mantissa_bits;
  for (const float x : nans()) {
    const std::uint32_t payload = (bits_of(x) & 0x007FFFFFu) >> dropped;
    const std::uint32_t sign = (bits_of(x) >> 16) & 0x8000u;
    CHECK(weir::round_to<TestType>(x).bits ==
          (sign | format<TestType>::infinity | format<TestType>::quiet | payload));
  }
}

TEST_CASE("conversions happen at compile time too") {
  STATIC_REQUIRE(weir::to_f16(1.0f).bits == 0x3C00);
  STATIC_REQUIRE(weir::to_f16(0x1p-24f).bits == 0x0001);
  STATIC_REQUIRE(weir::to_f16(65504.0f).bits == 0x7BFF);
  STATIC_REQUIRE(weir::to_f16(65520.0f).bits == 0x7C00);
  STATIC_REQUIRE(weir::to_bf16(-2.0f).bits == 0xC000);
  STATIC_REQUIRE(weir::to_float(weir::f16{0x3555}) == 0.333251953125f);
  STATIC_REQUIRE(weir::round_to<float>(0.1f) == 0.1f);
}

TEST_CASE("halves are two bytes that copy as bytes") {
  STATIC_REQUIRE(sizeof(weir::f16) == 2);
  STATIC_REQUIRE(sizeof(weir::bf16) == 2);
  STATIC_REQUIRE(std::is_trivially_copyable_v<weir::f16>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<weir::bf16>);
}

#ifdef __F16C__
TEST_CASE("f16 conversions give the processor's bits") {
  int wrong = 0;
  for (std::uint32_t h = 0; h <= 0xFFFFu; ++h) {
    const __m128 converted = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(h)));
    wrong += bits_of(weir::to_float(pattern<weir::f16>(h))) !=
             static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_castps_si128(converted)));
  }
  CHECK(wrong == 0);

  for (const auto& floats : {floats_around_every_half<weir::f16>(), floats_of_every_size(), nans()})
    for (const float x : floats) {
      const __m128i converted = _mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT);
      wrong += weir::to_f16(x) !=
               pattern<weir::f16>(static_cast<std::uint32_t>(_mm_cvtsi128_si32(converted)));
    }
  CHECK(wrong == 0);
}
#endif
