#include <weir/simd/simd.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <weir/simd/integer.hpp>
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

template <class A>
void check_dots(const std::int8_t (&w)[8][32], const std::int8_t (&x)[32]) {
  using dots = simd::eight_dots<A>;
  std::int32_t sum = 0, expected[8];
  for (const std::int8_t v : x) sum += v;
  for (std::size_t o = 0; o < 8; ++o) expected[o] = simd::dot_32(w[o], x);

  const __m256i bias = _mm256_set1_epi32(-dots::bias * sum);
  __m256i rows[8], parts[8];
  for (std::size_t o = 0; o < 8; ++o) {
    rows[o] = dots::load_weights(w[o]);
    parts[o] = dots::dot_4(_mm256_setzero_si256(), rows[o],
                           _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  std::int32_t found[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(found),
                      _mm256_add_epi32(dots::sum_each(parts), bias));
  for (std::size_t o = 0; o < 8; ++o) REQUIRE(found[o] == expected[o]);

  dots::transpose(rows);
  __m256i columns = bias;
  for (std::size_t g = 0; g < 8; ++g) {
    std::int32_t four;
    std::memcpy(&four, x + 4 * g, 4);
    columns = dots::dot_4(columns, rows[g], _mm256_set1_epi32(four));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(found), columns);
  for (std::size_t o = 0; o < 8; ++o) REQUIRE(found[o] == expected[o]);
}

}  // namespace

TEMPLATE_TEST_CASE("integer dots are exact for every weight and activation", "", weir_test::native,
                   weir_test::avx2) {
  if constexpr (simd::has_eight_dots<TestType>) {
    std::int8_t w[8][32], x[32];
    for (int a = -128; a < 128; ++a)
      for (int b = -127; b < 128; ++b) {
        for (auto& row : w) std::memset(row, a, sizeof row);
        std::memset(x, b, sizeof x);
        check_dots<TestType>(w, x);
      }
    const weir::random_source random{3, 3};
    for (std::uint64_t round = 0; round < 500; ++round) {
      const auto byte = [&](std::uint32_t i) {
        return static_cast<std::int8_t>(random.bits(weir::purpose::scoring, round, i));
      };
      for (std::uint32_t i = 0; i < 256; ++i) w[i / 32][i % 32] = byte(i);
      for (std::uint32_t i = 0; i < 32; ++i)
        x[i] = static_cast<std::int8_t>(std::max<int>(byte(256 + i), -127));
      check_dots<TestType>(w, x);
    }
  }
}

#endif
