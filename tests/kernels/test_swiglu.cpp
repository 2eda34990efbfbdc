#include <cmath>
#include <limits>
#include <vector>

#include <weir/kernels/cpu/swiglu.hpp>
#include <weir/kernels/reference/swiglu.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

using weir_test::random_floats;

TEMPLATE_TEST_CASE("a gate has the bits of the plain one, whatever its length", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  for (const std::size_t n : {0u, 1u, 15u, 16u, 17u, 31u, 257u, 10000u}) {
    auto gate = random_floats(n, n, 120.0f);
    const auto up = random_floats(n, n + 1, 3.0f);
    if (n > 3) gate[n / 2] = std::numeric_limits<float>::infinity();
    std::vector<float> expected(n);
    weir::reference::swiglu(gate.data(), up.data(), n, expected.data());
    for (const unsigned width : {1u, 2u, 3u}) {
      weir::thread_pool threads(width);
      std::vector<float> y(n), in_place = gate;
      weir::swiglu<TestType>(gate.data(), up.data(), n, y.data(), threads);
      CHECK(weir_test::same_bits(y, expected));
      weir::swiglu<TestType>(in_place.data(), up.data(), n, in_place.data(), threads);
      CHECK(weir_test::same_bits(in_place, expected));
    }
  }
}

TEST_CASE("a gate gives what float64 gives") {
  const auto gate = random_floats(20000, 1, 80.0f), up = random_floats(20000, 2);
  std::vector<float> y(gate.size());
  weir::executor one;
  weir::swiglu(gate.data(), up.data(), gate.size(), y.data(), one);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double exact = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
    REQUIRE(std::fabs(y[i] - exact) <= 1e-6 * std::fabs(exact));
  }
}
