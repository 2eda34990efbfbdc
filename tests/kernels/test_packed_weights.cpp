#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/kernels/cpu/embed.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/packed_weights.hpp"
#include "support/products.hpp"
#include "support/random_weights.hpp"

using weir::weight_type;
using weir_test::fast;
using weir_test::owned_matrix;
using weir_test::packing;
using weir_test::plain;
using weir_test::random_floats;
using weir_test::same_bits;

namespace {

weight_type type_of(packing p) { return static_cast<weight_type>(p); }

/// Blocks whose bytes `next` gives, save that the f16 numbers among them are `half(n)`.
template <class Next, class Half>
owned_matrix raw(packing p, std::size_t rows, std::size_t cols, Next next, Half half) {
  owned_matrix m{type_of(p), rows, cols, {}};
  m.bytes.resize(m.view().bytes());
  for (std::byte& b : m.bytes) b = static_cast<std::byte>(next());
  const auto [first, count] = weir_test::packed_block_halves(p);
  const std::size_t size = weir_test::packed_block_bytes(p);
  for (std::size_t block = 0; block < m.bytes.size() / size; ++block)
    for (std::size_t i = 0; i < count; ++i) {
      const weir::f16 value = weir::to_f16(half(block * count + i));
      std::memcpy(&m.bytes[block * size + first + 2 * i], &value, sizeof value);
    }
  return m;
}

/// One block of the bytes given, by position; all others are `fill`.
std::vector<float> decode(packing p, std::uint8_t fill,
                          std::initializer_list<std::pair<std::size_t, unsigned>> bytes) {
  const std::size_t n = weir_test::packed_block_weights(p);
  owned_matrix m{type_of(p), 1, n, {}};
  m.bytes.assign(weir_test::packed_block_bytes(p), std::byte{fill});
  REQUIRE(m.view().bytes() == m.bytes.size());
  for (const auto& [at, value] : bytes) m.bytes[at] = static_cast<std::byte>(value);
  std::vector<float> out(n);
  weir::load_row(m.view(), 0, out.data());
  return out;
}

}  // namespace

TEST_CASE("a Q4_0 block made by hand decodes") {
  // scale 0.5
  const auto w = decode(packing::q4_0, 0x88, {{0, 0x00}, {1, 0x38}, {2, 0x1F}, {17, 0x07}});
  CHECK(w[0] == 3.5f);    // 0.5 · (15 − 8)
  CHECK(w[16] == -3.5f);  // 0.5 · (1 − 8)
  CHECK(w[15] == -0.5f);
  CHECK(w[31] == -4.0f);
  CHECK(std::count(w.begin(), w.end(), 0.0f) == 28);
}

TEST_CASE("a Q4_1 block made by hand decodes") {
  // scale 0.5, offset −1
  const auto w = decode(packing::q4_1, 0, {{1, 0x38}, {3, 0xBC}, {4, 0x1F}, {19, 0x20}});
  CHECK(w[0] == 6.5f);
  CHECK(w[16] == -0.5f);
  CHECK(w[31] == 0.0f);
  CHECK(std::count(w.begin(), w.end(), -1.0f) == 29);
}

TEST_CASE("a Q5_0 block made by hand decodes") {
  // scale 0.5; fifth bits of codes 0, 16 and 31
  const auto w =
      decode(packing::q5_0, 0, {{1, 0x38}, {2, 0x01}, {4, 0x01}, {5, 0x80}, {6, 0x1F}, {21, 0x20}});
  CHECK(w[0] == 7.5f);   // 0.5 · (15 + 16 − 16)
  CHECK(w[16] == 0.5f);  // 0.5 · (1 + 16 − 16)
  CHECK(w[31] == 1.0f);
  CHECK(std::count(w.begin(), w.end(), -8.0f) == 29);
}

TEST_CASE("a Q5_1 block made by hand decodes") {
  // scale 0.5, offset −1; fifth bits of codes 0, 16 and 31
  const auto w =
      decode(packing::q5_1, 0,
             {{1, 0x38}, {3, 0xBC}, {4, 0x01}, {6, 0x01}, {7, 0x80}, {8, 0x1F}, {23, 0x20}});
  CHECK(w[0] == 14.5f);
  CHECK(w[16] == 7.5f);
  CHECK(w[31] == 8.0f);
  CHECK(std::count(w.begin(), w.end(), -1.0f) == 29);
}

TEST_CASE("a Q4_K block made by hand decodes") {
  // Scale 1, offset 0.5. Part 0: scale 2, offset 3. Part 4: scale 1 + 16, offset 5 + 32.
  const auto w =
      decode(packing::q4_k, 0,
             {{1, 0x3C}, {3, 0x38}, {4, 0x42}, {8, 0x83}, {12, 0x51}, {16, 0x21}, {80, 0x03}});
  CHECK(w[0] == 0.5f);  // 2 · 1 − 0.5 · 3
  CHECK(w[1] == -1.5f);
  CHECK(w[31] == -1.5f);
  CHECK(w[32] == 0.0f);    // part 1 has neither scale nor offset
  CHECK(w[128] == 32.5f);  // 17 · 3 − 0.5 · 37
  CHECK(w[129] == -18.5f);
  CHECK(w[160] == 0.0f);
}

TEST_CASE("a Q5_K block made by hand decodes") {
  // As the one of Q4_K, with the fifth bits of the first codes of parts 0 and 4.
  const auto w = decode(packing::q5_k, 0,
                        {{1, 0x3C},
                         {3, 0x38},
                         {4, 0x42},
                         {8, 0x83},
                         {12, 0x51},
                         {16, 0x11},
                         {48, 0x21},
                         {112, 0x03}});
  CHECK(w[0] == 32.5f);  // 2 · 17 − 0.5 · 3
  CHECK(w[1] == -1.5f);
  CHECK(w[32] == 0.0f);
  CHECK(w[128] == 304.5f);  // 17 · 19 − 0.5 · 37
  CHECK(w[129] == -18.5f);
}

TEST_CASE("a Q6_K block made by hand decodes") {
  // Scale 0.25; steps 3 for the first 16 weights and −128 for the last.
  const auto w = decode(
      packing::q6_k, 0,
      {{0, 0x0F}, {127, 0xA0}, {128, 0x03}, {191, 0x80}, {192, 0x03}, {207, 0x80}, {209, 0x34}});
  CHECK(w[0] == 23.25f);  // 0.25 · 3 · (63 − 32)
  CHECK(w[1] == -24.0f);
  CHECK(w[15] == -24.0f);
  CHECK(w[16] == 0.0f);      // a step of 0
  CHECK(w[255] == -320.0f);  // 0.25 · −128 · (42 − 32)
  CHECK(w[254] == 1024.0f);
}

TEMPLATE_TEST_CASE("products of any bytes have the bits of the plain one", "", weir_test::native,
                   weir_test::avx2, weir_test::sse2) {
  for (const packing p : weir_test::all_packings)
    for (const std::size_t blocks : {1u, 2u, 5u, 17u})
      for (const std::size_t outputs : {1u, 7u, 8u, 9u, 27u, 70u}) {
        const std::size_t cols = blocks * weir_test::packed_block_weights(p), max_step_rows = 13;
        const auto scales = random_floats(2 * blocks * outputs, 1, 2.0f);
        std::uint32_t state = 12345 + static_cast<std::uint32_t>(outputs);
        const auto w = raw(
            p, outputs, cols, [&] { return (state = state * 1664525u + 1013904223u) >> 24; },
            [&](std::size_t i) { return scales[i]; });
        auto x = random_floats(max_step_rows * cols, blocks, 3.0f);
        auto expected = plain(w, x, max_step_rows);
        for (std::size_t rows = max_step_rows; rows > 0; --rows) {
          x.resize(rows * cols);
          expected.resize(rows * outputs);
          INFO("type " << static_cast<int>(p) << ", " << rows << " x " << cols << " x " << outputs);
          REQUIRE(same_bits(fast<TestType>(w, x, rows), expected));
        }
      }
}

TEMPLATE_TEST_CASE("the largest codes and steps stay exact", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  for (const packing p : weir_test::all_packings)
    for (const unsigned fill : {0x00u, 0xFFu, 0x80u, 0x7Fu})
      for (const std::size_t rows : {1u, 2u, 9u})
        for (const float sign : {1.0f, -1.0f}) {
          const std::size_t outputs = 9, cols = weir_test::packed_block_weights(p);
          const auto w = raw(
              p, outputs, cols, [&] { return fill; }, [](std::size_t) { return 1.0f; });
          const std::vector<float> x(rows * cols, sign * 127.0f);
          const auto y = fast<TestType>(w, x, rows);
          REQUIRE(same_bits(y, plain(w, x, rows)));
          double exact = 0, size = 0;
          for (std::size_t i = 0; i < cols; ++i) {
            const double term = double{x[i]} * weir_test::weight_at(w.view(), 0, i);
            exact += term;
            size += std::fabs(term);
          }
          for (const float v : y) REQUIRE(std::fabs(v - exact) <= 1e-6 * size);
        }
}

TEST_CASE("rows of weights decode to what their bytes say") {
  for (const packing p : weir_test::all_packings) {
    const std::size_t rows = 7, cols = 1024;
    const auto scales = random_floats(2 * rows * cols / 32, 2, 2.0f);
    std::uint32_t state = 99;
    const auto w = raw(
        p, rows, cols, [&] { return (state = state * 1664525u + 1013904223u) >> 24; },
        [&](std::size_t i) { return scales[i]; });
    std::vector<float> out(cols);
    for (std::size_t row = 0; row < rows; ++row) {
      weir::load_row(w.view(), row, out.data());
      for (std::size_t i = 0; i < cols; ++i)
        REQUIRE(out[i] == weir_test::weight_at(w.view(), row, i));
    }
  }
}

TEST_CASE("packed weights and their products stay within the published bounds") {
  const std::size_t n = 4096;
  const auto wave = [](double offset) {
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i)
      x[i] = static_cast<float>(0.1 + 2 * std::cos(static_cast<double>(i) + offset));
    return x;
  };
  const auto a = wave(0), b = wave(1);
  double exact = 0;
  for (std::size_t i = 0; i < n; ++i) exact += double{a[i]} * b[i];
  for (const packing p : weir_test::all_packings) {
    INFO("type " << static_cast<int>(p));
    for (const auto& x : {a, b}) {
      const auto w = weir_test::pack(type_of(p), 1, n, x);
      std::vector<float> out(n);
      weir::load_row(w.view(), 0, out.data());
      double squares = 0;
      for (std::size_t i = 0; i < n; ++i) squares += std::pow(double{out[i]} - x[i], 2);
      CHECK(std::sqrt(squares) / n < 0.002);
    }
    const auto w = weir_test::pack(type_of(p), 1, n, a);
    CHECK(std::fabs(fast<weir_test::native>(w, b, 1)[0] - exact) / n < 0.02);
  }
}
