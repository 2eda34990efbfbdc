#include <cmath>
#include <vector>

#include <weir/kernels/cpu/norm.hpp>
#include <weir/kernels/reference/norm.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

using weir_test::random_floats;

TEMPLATE_TEST_CASE("a norm has the bits of the plain one, whatever its shape", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  for (const std::size_t n : {1u, 2u, 15u, 16u, 17u, 31u, 64u, 257u, 4096u}) {
    const std::size_t rows = 5;
    const auto x = random_floats(rows * n, n, 3.0f), weight = random_floats(n, n + 1);
    std::vector<float> expected(rows * n);
    for (std::size_t row = 0; row < rows; ++row)
      weir::reference::rms_norm(&x[row * n], weight.data(), n, 1e-5f, &expected[row * n]);
    for (const unsigned width : {1u, 2u, 3u}) {
      weir::thread_pool threads(width);
      std::vector<float> y(rows * n), in_place = x;
      weir::rms_norm<TestType>(x.data(), weight.data(), rows, n, 1e-5f, y.data(), threads);
      CHECK(weir_test::same_bits(y, expected));
      weir::rms_norm<TestType>(in_place.data(), weight.data(), rows, n, 1e-5f, in_place.data(),
                               threads);
      CHECK(weir_test::same_bits(in_place, expected));
    }
  }
}

TEST_CASE("a norm gives what float64 gives") {
  const std::size_t n = 4096;
  const auto x = random_floats(n, 1, 5.0f), weight = random_floats(n, 2);
  double squares = 0;
  for (const float v : x) squares += double{v} * v;
  const double size = std::sqrt(squares / static_cast<double>(n) + 1e-5);
  std::vector<float> y(n);
  weir::executor one;
  weir::rms_norm(x.data(), weight.data(), 1, n, 1e-5f, y.data(), one);
  for (std::size_t i = 0; i < n; ++i) {
    const double exact = x[i] / size * weight[i];
    REQUIRE(std::fabs(y[i] - exact) <= 1e-6 * std::fabs(exact));
  }
}

TEST_CASE("epsilon keeps zeros finite") {
  std::vector<float> x(40, 0.0f), weight(40, 1.0f);
  weir::executor one;
  weir::rms_norm(x.data(), weight.data(), 1, 40, 1e-5f, x.data(), one);
  for (const float v : x) CHECK(v == 0.0f);
}
