#include <type_traits>
#include <vector>

#include <weir/kernels/cpu/embed.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/random_weights.hpp"

TEMPLATE_TEST_CASE("a row of weights comes out as numbers", "", weir_test::native, weir_test::avx2,
                   weir_test::sse2) {
  using weir::weight_type;
  for (const weight_type type : weir_test::all_weight_types)
    for (const std::size_t cols : {32u, 33u, 64u, 15u, 256u, 768u}) {
      const std::size_t block = weir::with_element(
          type, []<class E>(std::type_identity<E>) { return weir::weights_in<E>; });
      if (cols % block != 0) continue;
      const auto w = weir_test::pack(type, 5, cols, weir_test::random_floats(5 * cols, cols));
      for (std::size_t row = 0; row < 5; ++row) {
        std::vector<float> out(cols), expected(cols);
        weir::load_row<TestType>(w.view(), row, out.data());
        for (std::size_t i = 0; i < cols; ++i) expected[i] = weir_test::weight_at(w.view(), row, i);
        CHECK(weir_test::same_bits(out, expected));
      }
    }
}
