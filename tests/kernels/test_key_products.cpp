#include <weir/kernels/cpu/encode.hpp>
#include <weir/kernels/cpu/key_products.hpp>
#include <weir/kernels/reference/key_products.hpp>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "support/arches.hpp"
#include "support/catch.hpp"

using namespace weir;

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Tiles of keys in pages of another order, some of them of no number, and queries.
template <class Codec>
struct scene {
  using tiles_of = kv_tiles<Codec>;
  std::size_t head_dim, tiles;
  std::vector<typename tiles_of::storage> keys;
  std::vector<float> query;   // [max_block_rows, head_dim]
  std::vector<float> weight;  // [slot], 0 where keys are no numbers and elsewhere

  scene(std::size_t d, std::size_t n, unsigned seed)
      : head_dim(d),
        tiles(n),
        keys(n * tiles_of::key_size(d)),
        query(max_block_rows * d),
        weight(n * tile_lanes) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : query) x = normal(random);
    std::vector<float> key(d);
    for (std::size_t s = 0; s < weight.size(); ++s) {
      weight[s] = s % 7 == 3 || s % 5 == 1 ? 0 : normal(random);
      for (float& x : key) x = s % 7 == 3 ? nan : normal(random);
      encode_key<Codec, simd::native>(keys.data() + page(s / tile_lanes) * tiles_of::key_size(d),
                                      s % tile_lanes, key.data(), d, {});
    }
  }
  std::size_t page(std::size_t tile) const { return tiles - 1 - std::min(tile, tiles - 1); }
};

/// Equal, or neither is a number.
bool same(float a, float b) { return a == b || (a != a && b != b); }

template <class A, class Codec>
void expect_reference() {
  unsigned seed = 1;
  for (const std::size_t head_dim : {1u, 7u, 16u, 64u, 128u, 512u})
    for (const std::size_t tiles : {1u, 2u, 3u, 5u}) {
      const scene<Codec> s(head_dim, tiles, seed++);
      const auto page = [&](std::size_t t) { return s.page(t); };
      attention_block<Codec> block{.keys = s.keys.data(), .head_dim = head_dim};
      for (std::size_t rows = 1; rows <= max_block_rows; ++rows) {
        for (std::size_t r = 0; r < max_block_rows; ++r)
          block.query[0][r] = s.query.data() + std::min(r, rows - 1) * head_dim;
        const std::size_t stride = tiles * tile_lanes + 3;
        std::vector<float> out(rows * stride, -7.0f);
        cpu::key_dots<A>(block, tiles, page, rows, out.data(), stride);
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t i = 0; i < stride; ++i) {
            const float expected = i < tiles * tile_lanes
                                       ? reference::key_dot(block, page(i / tile_lanes),
                                                            i % tile_lanes, block.query[0][r])
                                       : -7.0f;
            REQUIRE(same(out[r * stride + i], expected));
          }
      }
      std::vector<float> sum(head_dim * key_sum_lanes, 0.5f), expected = sum;
      cpu::add_weighted_keys<A>(block, tiles, page, s.weight.data(), sum.data());
      reference::add_weighted_keys(block, tiles, page, s.weight.data(), expected.data());
      REQUIRE(sum == expected);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("products and sums of keys are the reference's on every architecture", "",
                   weir::f32, weir::f16, weir::bf16, weir::int8, weir::int4) {
  weir_test::for_each_arch([]<class A> { expect_reference<A, TestType>(); });
}
