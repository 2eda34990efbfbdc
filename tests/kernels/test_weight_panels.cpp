#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include <weir/core/thread_pool.hpp>
#include <weir/kernels/weight_panels.hpp>
#include "support/arches.hpp"
#include "support/catch.hpp"
#include "support/products.hpp"
#include "support/random_weights.hpp"
#include "support/refusal.hpp"

using weir_test::random_floats;
using weir_test::repacked_matrix;

TEST_CASE("every block of a panel is the row's") {
  for (const weir::weight_type type : weir_test::all_weight_types)
    weir::with_element(type, [&]<class Block>(std::type_identity<Block>) {
      if constexpr (weir::weights_in<Block> == 32) {
        constexpr std::size_t blocks = 3, cols = blocks * Block::size;
        for (const std::size_t rows : {1u, 15u, 16u, 17u, 48u, 63u}) {
          INFO("type " << static_cast<int>(type) << ", " << rows << " rows");
          const auto w = weir_test::pack(type, rows, cols, random_floats(rows * cols, rows));
          const repacked_matrix panels(w);
          REQUIRE(panels.view.in_panels);
          REQUIRE(panels.view.bytes() == w.bytes.size());
          const auto* const got = reinterpret_cast<const Block*>(panels.view.data);
          const auto* const from = reinterpret_cast<const Block*>(w.bytes.data());
          const std::size_t whole = rows / weir::panel_height * weir::panel_height;
          for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t b = 0; b < blocks; ++b) {
              const std::size_t in = r % weir::panel_height;
              const Block block = r < whole
                                      ? weir::detail::block_in_panel(
                                            got + (r - in) * blocks + b * weir::panel_height, in)
                                      : got[r * blocks + b];
              REQUIRE(std::memcmp(&block, from + r * blocks + b, sizeof block) == 0);
            }
        }
      }
    });
}

TEST_CASE("a panel lies as registers read it") {
  // Q8_0: 16 scales, then the first four codes of row 0, of row 1, …
  std::vector<float> x(16 * 32);
  for (std::size_t r = 0; r < 16; ++r)
    for (std::size_t k = 0; k < 32; ++k)
      x[r * 32 + k] = k == 0 ? 127.0f : static_cast<float>(r) - static_cast<float>(k);
  const repacked_matrix panels(weir_test::pack(weir::weight_type::q8_0, 16, 32, x));
  weir::f16 scale;
  std::memcpy(&scale, panels.view.data + 30, sizeof scale);
  REQUIRE(weir::to_float(scale) == 1.0f);
  const auto code = [&](std::size_t i) {
    return static_cast<std::int8_t>(panels.view.data[32 + i]);
  };
  REQUIRE(code(0) == 127);
  REQUIRE(code(1) == -1);
  REQUIRE(code(4 * 5 + 2) == 3);        // row 5, code 2
  REQUIRE(code(64 + 4 * 15 + 3) == 8);  // row 15, code 7
}

TEMPLATE_TEST_CASE("panels give the same bits added, and by any number of threads", "",
                   weir_test::native, weir_test::avx2, weir_test::sse2) {
  weir::thread_pool three(3);
  for (const weir::weight_type type : weir_test::all_weight_types) {
    if (!weir::can_repack(type)) continue;
    constexpr std::size_t outputs = 175, cols = 512;
    const auto w = weir_test::pack(type, outputs, cols, random_floats(outputs * cols, 1));
    const repacked_matrix panels(w);
    for (const std::size_t rows : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 16u, 32u, 33u, 70u}) {
      INFO("type " << static_cast<int>(type) << ", " << rows << " rows");
      const auto x = random_floats(rows * cols, rows);
      const weir_test::scratch scratch(rows, cols);
      auto expected = random_floats(rows * outputs, 7), y = expected;
      weir::executor one;
      weir_test::product<TestType>(w.view(), x.data(), rows, expected.data(), scratch.rooms, one,
                                   true);
      weir_test::product<TestType>(panels.view, x.data(), rows, y.data(), scratch.rooms, three,
                                   true);
      REQUIRE(weir_test::same_bits(y, expected));
    }
  }
}

TEST_CASE("weights in larger blocks, in numbers or in panels already are not repacked") {
  for (const weir::weight_type type : {weir::weight_type::q4_k, weir::weight_type::f16})
    weir_test::require_refused<weir::error::bad_input>(
        [&] { repacked_matrix(weir_test::pack(type, 16, 256, random_floats(16 * 256, 1))); },
        {"repack", "expected rows of blocks of 32 weights"});
  const repacked_matrix once(
      weir_test::pack(weir::weight_type::q8_0, 16, 32, random_floats(16 * 32, 1)));
  weir::executor one;
  std::vector<std::byte> room(once.view.bytes());
  weir_test::require_refused<weir::error::bad_input>(
      [&] { weir::repack(once.view, room.data(), one); }, {"in panels"});
}
