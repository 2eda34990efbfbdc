#include <weir/simd/simd.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include <weir/simd/integer.hpp>
#include <weir/simd/row_reductions.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

namespace simd = weir::simd;
using weir_test::random_floats;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

template <class A>
std::vector<float> exp_of(const std::vector<float>& x) {
  constexpr std::size_t lanes = simd::lanes<A>;
  std::vector<float> y(x);
  y.resize((x.size() + lanes - 1) / lanes * lanes);
  for (std::size_t i = 0; i < y.size(); i += lanes)
    simd::store<A>(&y[i], simd::exp<A>(simd::load<A>(&y[i])));
  y.resize(x.size());
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("fma rounds once", "", weir_test::native, weir_test::avx2, weir_test::sse2) {
  // (1 + 2^-12)² = 1 + 2^-11 + 2^-24: the last term is lost where the product is rounded.
  using A = TestType;
  const float a = 1.0f + 0x1p-12f, c = -(1.0f + 0x1p-11f);
  float out[simd::lanes<A>];
  simd::store<A>(out,
                 simd::fma<A>(simd::broadcast<A>(a), simd::broadcast<A>(a), simd::broadcast<A>(c)));
  for (const float x : out) CHECK(x == 0x1p-24f);

  const std::size_t n = 1600;
  const auto x = random_floats(n, 1), y = random_floats(n, 2), z = random_floats(n, 3);
  for (std::size_t i = 0; i < n; i += simd::lanes<A>) {
    simd::store<A>(out,
                   simd::fma<A>(simd::load<A>(&x[i]), simd::load<A>(&y[i]), simd::load<A>(&z[i])));
    for (std::size_t l = 0; l < simd::lanes<A>; ++l)
      REQUIRE(bits(out[l]) == bits(std::fma(x[i + l], y[i + l], z[i + l])));
  }
}

TEMPLATE_TEST_CASE("fma rounds once, however far apart its numbers are", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  using A = TestType;
  constexpr std::size_t lanes = simd::lanes<A>;
  // Few bits, so that sums lie halfway between two floats or are exact; any exponent, so that they
  // are subnormal, infinite or lost beside each other.
  const weir::random_source random{11, 0};
  const auto number = [&](std::uint64_t i) {
    const std::uint64_t bits = random.bits(weir::purpose::trials, i);
    const auto whole = static_cast<float>(static_cast<int>(bits % 4096) - 2048) *
                       (bits >> 32 & 1 ? 1.0f : 1.0f + 0x1p-23f);
    const int far = bits >> 33 & 1 ? 150 : 14;
    return std::ldexp(whole, static_cast<int>(bits >> 40 & 0xFFFF) % (2 * far) - far);
  };
  float x[lanes], y[lanes], z[lanes], out[lanes];
  for (std::uint64_t i = 0; i < 300'000; i += 3 * lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      x[l] = number(i + 3 * l), y[l] = number(i + 3 * l + 1), z[l] = number(i + 3 * l + 2);
      if (l % 3 == 1) z[l] = -x[l] * y[l];  // what is left is the rounding of the product
    }
    simd::store<A>(out, simd::fma<A>(simd::load<A>(x), simd::load<A>(y), simd::load<A>(z)));
    for (std::size_t l = 0; l < lanes; ++l) {
      const float expected = std::fma(x[l], y[l], z[l]);
      INFO(x[l] << " * " << y[l] << " + " << z[l]);
      if (std::isnan(expected))
        REQUIRE(std::isnan(out[l]));
      else
        REQUIRE(bits(out[l]) == bits(expected));
    }
  }
}

TEMPLATE_TEST_CASE("quotients and roots are rounded once", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  using A = TestType;
  constexpr std::size_t lanes = simd::lanes<A>;
  const auto x = random_floats(16000, 4, 50), y = random_floats(16000, 5);
  float quotient[lanes], root[lanes];
  for (std::size_t i = 0; i < x.size(); i += lanes) {
    const auto a = simd::load<A>(&x[i]), b = simd::load<A>(&y[i]);
    simd::store<A>(quotient, simd::divide<A>(a, b));
    simd::store<A>(root, simd::sqrt<A>(a * a + b * b));
    for (std::size_t l = 0; l < lanes; ++l) {
      const float square = x[i + l] * x[i + l] + y[i + l] * y[i + l];
      REQUIRE(bits(quotient[l]) == bits(x[i + l] / y[i + l]));
      REQUIRE(bits(root[l]) == bits(std::sqrt(square)));
    }
  }
}

TEST_CASE("multiplications and additions are not fused behind one's back") {
  volatile float a = 1.0f + 0x1p-12f, c = -(1.0f + 0x1p-11f);
  const float x = a, y = c;
  CHECK(x * x + y == 0.0f);
}

TEMPLATE_TEST_CASE("exp is exact where it must be", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  const auto y = exp_of<TestType>({0.0f, -0.0f, -infinity, -87.5f, -1e30f, 1e30f, infinity, 88.0f});
  CHECK(bits(y[0]) == bits(1.0f));
  CHECK(bits(y[1]) == bits(1.0f));
  CHECK(bits(y[2]) == bits(0.0f));
  CHECK(bits(y[3]) == bits(0.0f));
  CHECK(bits(y[4]) == bits(0.0f));
  CHECK(y[5] == y[7]);
  CHECK(y[6] == y[7]);
  CHECK(std::isfinite(y[7]));
  CHECK(std::isnan(exp_of<TestType>({std::numeric_limits<float>::quiet_NaN()})[0]));
}

TEMPLATE_TEST_CASE("exp has the bits of its plain form and is right to 2.5e-7", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  std::vector<float> x;
  for (double v = -90; v <= 90; v += 1.0 / 4096) x.push_back(static_cast<float>(v));
  const auto y = exp_of<TestType>(x);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE(bits(y[i]) == bits(simd::exp(x[i])));
    if (x[i] < -87 || x[i] > 88) continue;
    const double exact = std::exp(double{x[i]});
    worst = std::fmax(worst, std::fabs(y[i] - exact) / exact);
  }
  CHECK(worst <= 2.5e-7);
}

TEMPLATE_TEST_CASE("all 65536 halves load as their plain form says", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  std::vector<weir::f16> half(65536 + 1);
  std::vector<weir::bf16> brain(65536 + 1);
  for (std::uint32_t i = 0; i < 65536; ++i) {
    half[i + 1].bits = static_cast<std::uint16_t>(i);
    brain[i + 1].bits = static_cast<std::uint16_t>(i);
  }
  float out[lanes];
  for (std::size_t i = 1; i <= 65536; i += lanes) {  // from 1 on: not aligned to a register
    simd::store<TestType>(out, simd::load<TestType>(&half[i]));
    for (std::size_t l = 0; l < lanes; ++l)
      REQUIRE(bits(out[l]) == bits(weir::to_float(half[i + l])));
    simd::store<TestType>(out, simd::load<TestType>(&brain[i]));
    for (std::size_t l = 0; l < lanes; ++l)
      REQUIRE(bits(out[l]) == bits(weir::to_float(brain[i + l])));
  }
}

TEMPLATE_TEST_CASE("lanes are added up in one order on every width", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto x = random_floats(32, seed, 1e6f);
    simd::floats<TestType> r32[32 / lanes], r16[16 / lanes];
    for (std::size_t i = 0; i < 32 / lanes; ++i) r32[i] = simd::load<TestType>(&x[i * lanes]);
    for (std::size_t i = 0; i < 16 / lanes; ++i) r16[i] = simd::load<TestType>(&x[i * lanes]);
    auto plain = x;
    REQUIRE(bits(simd::sum_halving<TestType>(r32)) == bits(simd::sum_halving(plain.data(), 32)));
    plain = x;
    REQUIRE(bits(simd::sum_halving<TestType>(r16)) == bits(simd::sum_halving(plain.data(), 16)));
    plain = x;
    REQUIRE(bits(simd::sum_halving<TestType>(r32[0])) ==
            bits(simd::sum_halving(plain.data(), lanes)));
  }
}

namespace {

template <class A, std::size_t R>
void check_rows() {
  constexpr std::size_t lanes = simd::lanes<A>;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto numbers = random_floats(R * lanes, seed, 1e6f);
    simd::floats<A> x[R];
    for (std::size_t r = 0; r < R; ++r) x[r] = simd::load<A>(&numbers[r * lanes]);
    float sum[simd::row_numbers<A, R>], most[simd::row_numbers<A, R>];
    simd::sum_rows<A>(x, sum);
    simd::max_rows<A>(x, most);
    for (std::size_t r = 0; r < R; ++r) {
      INFO(R << " rows, row " << r);
      REQUIRE(bits(sum[r]) == bits(simd::sum_halving<A>(x[r])));
      REQUIRE(most[r] == simd::max_lane<A>(x[r]));
    }
  }
}

template <class A, std::size_t R>
void check_magnitudes() {
  constexpr std::size_t lanes = simd::lanes<A>;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    auto numbers = random_floats(R * lanes, seed, 1e6f);
    if (seed % 3 == 1) numbers[seed % numbers.size()] = -infinity;
    if (seed % 3 == 2) {
      numbers[seed % numbers.size()] = -std::numeric_limits<float>::quiet_NaN();
      numbers[7 * seed % numbers.size()] = infinity;
    }
    simd::floats<A> x[R];
    for (std::size_t r = 0; r < R; ++r)
      x[r] =
          simd::larger_magnitude<A>(simd::broadcast<A>(0.0f), simd::load<A>(&numbers[r * lanes]));
    float most[simd::row_numbers<A, R>];
    simd::largest_magnitudes<A>(x, most);
    for (std::size_t r = 0; r < R; ++r) {
      std::uint32_t expected = 0;
      for (std::size_t l = 0; l < lanes; ++l)
        expected = std::max(expected, bits(numbers[r * lanes + l]) & 0x7FFFFFFFu);
      INFO(R << " rows, row " << r << ", seed " << seed);
      REQUIRE(bits(most[r]) == expected);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("the largest magnitude is an infinity, and NaN above that", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  check_magnitudes<TestType, 1>();
  check_magnitudes<TestType, 3>();
  check_magnitudes<TestType, 4>();
  check_magnitudes<TestType, 8>();
}

TEMPLATE_TEST_CASE("rows side by side come to what they come to alone", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  check_rows<TestType, 1>();
  check_rows<TestType, 2>();
  check_rows<TestType, 3>();
  check_rows<TestType, 4>();
  check_rows<TestType, 7>();
  check_rows<TestType, 8>();
}

TEMPLATE_TEST_CASE("blend takes the first where a bit is set", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  for (std::uint32_t mask = 0; mask < (1u << lanes); mask += lanes == 16 ? 7 : 1) {
    float out[lanes];
    simd::store<TestType>(out, simd::blend<TestType>(mask, simd::broadcast<TestType>(1.0f),
                                                     simd::broadcast<TestType>(infinity)));
    for (std::size_t l = 0; l < lanes; ++l) REQUIRE(out[l] == ((mask >> l & 1) ? 1.0f : infinity));
  }
}

TEMPLATE_TEST_CASE("the largest lane is found in every lane", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  constexpr std::size_t lanes = simd::lanes<TestType>;
  for (std::size_t l = 0; l < lanes; ++l) {
    float x[lanes];
    for (float& v : x) v = -infinity;
    x[l] = -3;
    CHECK(simd::max_lane<TestType>(simd::load<TestType>(x)) == -3);
  }
}

#if defined(__AVX2__) && defined(__F16C__)

namespace {

/// Codes and activations of 4 · lanes products; then the same weights as signed numbers.
template <class A>
void check_dots(const std::uint8_t* codes, const std::int8_t* x) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  const auto load = [](const void* p) {
    return ints::load_unaligned(static_cast<const std::int32_t*>(p));
  };
  std::int32_t found[simd::lanes<A>];
  const auto check = [&](ints result, const auto* weights) {
    result.store_unaligned(found);
    for (std::size_t l = 0; l < simd::lanes<A>; ++l) {
      std::int32_t expected = 7;
      for (std::size_t i = 4 * l; i < 4 * l + 4; ++i) expected += weights[i] * x[i];
      REQUIRE(found[l] == expected);
    }
  };
  bool small = true;
  for (std::size_t i = 0; i < 4 * simd::lanes<A>; ++i) small = small && codes[i] < dots::code_end;
  if (small) check(dots::dot(ints(7), load(codes), load(x)), codes);
  if constexpr (dots::code_end == 128)
    check(dots::dot_signed(ints(7), load(codes), load(x)),
          reinterpret_cast<const std::int8_t*>(codes));
}

}  // namespace

TEMPLATE_TEST_CASE("integer dots are exact for every weight and activation", "", weir_test::native,
                   weir_test::avx2) {
  if constexpr (simd::has_byte_dots<TestType>) {
    std::uint8_t codes[64];
    std::int8_t x[64];
    for (int a = 0; a < 256; ++a)
      for (int b = -127; b < 128; ++b) {
        std::memset(codes, a, sizeof codes);
        std::memset(x, b, sizeof x);
        check_dots<TestType>(codes, x);
      }
    const weir::random_source random{3, 3};
    for (std::uint64_t round = 0; round < 500; ++round)
      for (const std::uint32_t mask : {0x7Fu, 0xFFu}) {
        for (std::uint32_t i = 0; i < 64; ++i) {
          const auto both = random.bits(weir::purpose::scoring, round, i);
          codes[i] = static_cast<std::uint8_t>(both & mask);
          x[i] = static_cast<std::int8_t>(std::max<int>(static_cast<std::int8_t>(both >> 8), -127));
        }
        check_dots<TestType>(codes, x);
      }
  }
}

TEMPLATE_TEST_CASE("rows of bytes turn into columns", "", weir_test::native, weir_test::avx2) {
  if constexpr (simd::has_byte_dots<TestType>) {
    constexpr std::size_t lanes = simd::lanes<TestType>;
    std::int32_t in[lanes][8], out[lanes];
    __m256i rows[lanes];
    for (std::size_t r = 0; r < lanes; ++r) {
      for (std::size_t c = 0; c < 8; ++c) in[r][c] = static_cast<std::int32_t>(8 * r + c);
      rows[r] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in[r]));
    }
    simd::ints<TestType> columns[8];
    simd::byte_dots<TestType>::transpose(rows, columns);
    for (std::size_t c = 0; c < 8; ++c) {
      columns[c].store_unaligned(out);
      for (std::size_t r = 0; r < lanes; ++r) REQUIRE(out[r] == in[r][c]);
    }
  }
}

#endif
