#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include <weir/core/arena.hpp>
#include <weir/core/thread_pool.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/products.hpp"
#include "support/random_weights.hpp"

using weir::weight_type;
using weir_test::fast;
using weir_test::owned_matrix;
using weir_test::pack;
using weir_test::plain;
using weir_test::product;
using weir_test::random_floats;
using weir_test::same_bits;
using weir_test::scratch;

namespace {

/// None, one, a few and many blocks: more than a panel holds at once.
std::vector<std::size_t> widths(weight_type type) {
  if (type == weight_type::q4_k || type == weight_type::q5_k || type == weight_type::q6_k)
    return {0, 256, 768};
  if (weir::is_quantized(type)) return {0, 32, 96, 1024, 1056};
  return {0, 1, 15, 16, 17, 31, 32, 257};
}

std::vector<float> first(const std::vector<float>& x, std::size_t n) {
  return {x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n)};
}

}  // namespace

TEMPLATE_TEST_CASE("a product has the bits of the plain one, whatever its shape", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  const std::vector<std::size_t> all_rows = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                             11, 12, 13, 14, 15, 16, 17, 33, 64, 65};
  for (const weight_type type : weir_test::all_weight_types)
    for (const std::size_t cols : widths(type))
      for (const std::size_t outputs : {1u, 2u, 3u, 7u, 8u, 13u, 25u, 32u, 50u}) {
        const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 1 + cols));
        const auto x = random_floats(all_rows.back() * cols, 2 + outputs, 3.0f);
        const auto expected = plain(w, x, all_rows.back());
        for (const std::size_t rows : all_rows) {
          INFO("type " << static_cast<int>(type) << ", " << rows << " x " << cols << " x "
                       << outputs);
          REQUIRE(same_bits(fast<TestType>(w, first(x, rows * cols), rows),
                            first(expected, rows * outputs)));
        }
      }
}

TEMPLATE_TEST_CASE("more rows than a panel has sums for have the bits of the plain product", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  for (const weight_type type : weir_test::all_weight_types) {
    const std::size_t outputs = 33, cols = 256, rows = 700;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 18));
    const auto x = random_floats(rows * cols, 19);
    REQUIRE(same_bits(fast<TestType>(w, x, rows), plain(w, x, rows)));
  }
}

TEST_CASE("a product has the same bits for every number of threads") {
  for (const weight_type type : weir_test::all_weight_types) {
    const std::size_t outputs = 301, cols = 512, rows = 11;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 3));
    const auto x = random_floats(rows * cols, 4);
    const auto expected = plain(w, x, rows);
    for (const unsigned width : {1u, 2u, 3u}) {
      weir::thread_pool threads(width);
      REQUIRE(same_bits(fast<weir_test::native>(w, x, rows, threads), expected));
    }
  }
}

TEST_CASE("a row has the same bits alone and among others, across panels of weights") {
  weir::executor one;
  for (const weight_type type : weir_test::all_weight_types) {
    const std::size_t outputs = 100, cols = 4096, rows = 19;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 5));
    const auto x = random_floats(rows * cols, 6);
    const auto together = fast<weir_test::native>(w, x, rows);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::vector<float> in(&x[row * cols], &x[row * cols] + cols);
      const std::vector<float> out(&together[row * outputs], &together[row * outputs] + outputs);
      REQUIRE(same_bits(fast<weir_test::native>(w, in, 1), out));
    }
  }
}

TEST_CASE("weights may lie at any element's address") {
  weir::executor one;
  for (const weight_type type : weir_test::all_weight_types) {
    const std::size_t outputs = 9, cols = 256, rows = 3;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 7));
    const auto x = random_floats(rows * cols, 8);
    const std::size_t shift = type == weight_type::f32 ? 4 : 2;
    std::vector<std::byte> moved(w.bytes.size() + shift);
    std::copy(w.bytes.begin(), w.bytes.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
    std::vector<float> y(rows * outputs);
    product<weir_test::native>({type, outputs, cols, moved.data() + shift}, x.data(), rows,
                               y.data(), scratch(rows, cols).rooms, one);
    REQUIRE(same_bits(y, plain(w, x, rows)));
  }
}

TEST_CASE("accumulating adds the finished sum once") {
  weir::executor one;
  for (const weight_type type : weir_test::all_weight_types) {
    const std::size_t outputs = 27, cols = 256, rows = 5;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 9));
    const auto x = random_floats(rows * cols, 10);
    const auto before = random_floats(rows * outputs, 11);
    auto expected = plain(w, x, rows);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
    auto y = before;
    product<weir_test::native>(w.view(), x.data(), rows, y.data(), scratch(rows, cols).rooms, one,
                               true);
    REQUIRE(same_bits(y, expected));
  }
}

TEST_CASE("float weights give what float64 gives") {
  weir::executor one;
  for (const weight_type type : {weight_type::f32, weight_type::f16, weight_type::bf16}) {
    const std::size_t outputs = 16, cols = 4096, rows = 3;
    const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 12));
    const auto x = random_floats(rows * cols, 13);
    const auto y = fast<weir_test::native>(w, x, rows);
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t o = 0; o < outputs; ++o) {
        double exact = 0, size = 0;
        for (std::size_t k = 0; k < cols; ++k) {
          const double term = double{weir_test::weight_at(w.view(), o, k)} * x[row * cols + k];
          exact += term;
          size += std::fabs(term);
        }
        REQUIRE(std::fabs(y[row * outputs + o] - exact) <= 1e-6 * size);
      }
  }
}

TEST_CASE("quantised products stay within the published bound") {
  const std::size_t n = 4096;
  std::vector<float> a(n), b(n);
  for (std::size_t i = 0; i < n; ++i) {
    a[i] = static_cast<float>(0.1 + 2 * std::cos(static_cast<double>(i)));
    b[i] = static_cast<float>(0.1 + 2 * std::cos(static_cast<double>(i) + 1));
  }
  const auto w = pack(weight_type::q8_0, 1, n, a);
  double exact = 0, squares = 0;
  for (std::size_t i = 0; i < n; ++i) exact += double{a[i]} * b[i];
  const float y = plain(w, b, 1)[0];
  CHECK(std::fabs(y - exact) / n < 0.02);

  std::vector<std::int8_t> quants(n);
  for (std::size_t block = 0; block < n / 32; ++block) {
    float scale;
    std::int16_t sums[2];
    weir::quantize_block(&b[block * 32], &quants[block * 32], scale, sums);
    for (std::size_t i = block * 32; i < block * 32 + 32; ++i)
      squares += std::pow(b[i] - scale * quants[i], 2);
  }
  CHECK(std::sqrt(squares) / n < 0.002);
}

TEST_CASE("activations round to nearest, ties to even, and never leave -127 ... 127") {
  std::int8_t quants[32];
  float scale;
  std::int16_t sums[2];
  std::vector<float> x(32, 0.0f);
  x[0] = 127;
  x[1] = -127;
  x[2] = 2.5f;
  x[3] = 3.5f;
  x[4] = -2.5f;
  x[5] = 0.5f;
  weir::quantize_block(x.data(), quants, scale, sums);
  CHECK(scale == 1.0f);
  CHECK(quants[0] == 127);
  CHECK(quants[1] == -127);
  CHECK(quants[2] == 2);
  CHECK(quants[3] == 4);
  CHECK(quants[4] == -2);
  CHECK(quants[5] == 0);
  CHECK(sums[0] == 4);
  CHECK(sums[1] == 0);

  for (int exponent = -149; exponent < 128; ++exponent) {
    const float most = std::ldexp(1.9999999f, exponent);
    x.assign(32, most);
    x[7] = -most;
    weir::quantize_block(x.data(), quants, scale, sums);
    REQUIRE(std::isfinite(scale));
    const int expected = most < 0x1p-120f ? 0 : 127;
    REQUIRE(quants[0] == expected);
    REQUIRE(quants[7] == -expected);
  }
}

TEMPLATE_TEST_CASE("activations that are not finite make their own row NaN, and no other", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  for (const weight_type type : weir_test::all_weight_types)
    for (const std::size_t rows : {1u, 3u, 8u})
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
            -std::numeric_limits<float>::infinity()}) {
        const std::size_t outputs = 9, cols = 256, row = rows / 2;
        const auto w = pack(type, outputs, cols, random_floats(outputs * cols, 14));
        auto x = random_floats(rows * cols, 15);
        const auto good = plain(w, x, rows);
        // An infinity among float weights may stay one; beside a NaN it does not.
        x[row * cols + 40] = x[row * cols + 56] = bad;
        if (!weir::is_quantized(type)) x[row * cols + 56] = -bad;
        if (!weir::is_quantized(type)) x[row * cols + 72] = std::numeric_limits<float>::quiet_NaN();
        const auto y = fast<TestType>(w, x, rows);
        for (std::size_t i = 0; i < y.size(); ++i) {
          if (i / outputs == row)
            CHECK(std::isnan(y[i]));
          else
            CHECK(y[i] == good[i]);
        }
      }
}

TEMPLATE_TEST_CASE("extreme weights stay exact: every int8 against every activation", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  const std::size_t outputs = 40, cols = 32;
  owned_matrix w{weight_type::q8_0, outputs, cols, std::vector<std::byte>(outputs * 34)};
  for (const int weight : {-128, -127, 127, -1, 0}) {
    for (std::size_t o = 0; o < outputs; ++o) {
      weir::q8_0_block block{weir::to_f16(1.0f), {}};
      for (auto& q : block.quants) q = static_cast<std::int8_t>(weight);
      std::memcpy(w.bytes.data() + o * sizeof block, &block, sizeof block);
    }
    for (const float x : {127.0f, -127.0f})
      for (const std::size_t rows : {1u, 2u, 4u, 13u})
        for (const float y : fast<TestType>(w, std::vector<float>(rows * cols, x), rows))
          REQUIRE(y == static_cast<float>(weight) * x * 32);
  }
}

TEST_CASE("a scratch that is too small is refused") {
  weir::executor one;
  const auto w = pack(weight_type::q8_0, 8, 64, random_floats(8 * 64, 16));
  const auto x = random_floats(2 * 64, 17);
  std::vector<float> y(16);
  CHECK_THROWS_AS(
      product<weir_test::native>(w.view(), x.data(), 2, y.data(), scratch(1, 64).rooms, one),
      weir::error::bad_input);
}
