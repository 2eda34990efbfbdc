#include <weir/cache/eviction/slots_view.hpp>
#include <weir/kernels/cpu/encode.hpp>
#include <weir/kernels/cpu/similar_keys.hpp>
#include <weir/kernels/reference/similar_keys.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "support/arches.hpp"
#include "support/catch.hpp"

using namespace weir;

namespace {

/// Tiles of keys in pages of another order. Every seventh slot is empty and holds no number.
template <class Codec>
struct scene {
  using tiles_of = kv_tiles<Codec>;
  std::size_t head_dim, tiles;
  std::vector<typename tiles_of::storage> keys, values;
  std::vector<float> inverse;           // [slot] 1 / norm, or NaN
  std::vector<std::vector<float>> key;  // [slot]

  scene(std::size_t d, std::size_t n, unsigned seed)
      : head_dim(d),
        tiles(n),
        keys(n * tiles_of::key_size(d)),
        values(n * tiles_of::value_size(d)),
        inverse(n * tile_lanes, std::numeric_limits<float>::quiet_NaN()),
        key(n * tile_lanes, std::vector<float>(d)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (std::size_t s = 0; s < key.size(); ++s) {
      for (float& x : key[s]) x = s % 7 == 3 ? nan : normal(random);
      if (s % 11 == 5) std::ranges::fill(key[s], 0.0f);
      if (s > 40 && s % 13 == 0) key[s] = key[s - 26];  // equal ones
      auto* const tile = keys.data() + page(s / tile_lanes) * tiles_of::key_size(d);
      encode_key<Codec, simd::native>(tile, s % tile_lanes, key[s].data(), d, {});
      if (s % 7 == 3) continue;
      for (std::size_t k = 0; k < d; ++k) key[s][k] = tiles_of::key(tile, d, s % tile_lanes, k);
      inverse[s] = inverse_norm(key[s]);
    }
  }
  std::size_t page(std::size_t tile) const { return tiles - 1 - std::min(tile, tiles - 1); }
  attention_block<Codec> block() const {
    return {.keys = keys.data(), .values = values.data(), .head_dim = head_dim};
  }
};

template <class A, class Codec>
void expect_reference() {
  unsigned seed = 1;
  for (const std::size_t head_dim : {1u, 7u, 16u, 64u, 128u, 512u})
    for (const std::size_t tiles : {1u, 2u, 5u})
      for (const std::size_t n : {1u, 2u, 3u, 5u, 8u, 13u, 32u, 61u, 64u}) {
        const scene<Codec> s(head_dim, tiles, seed++);
        const auto page = [&](std::size_t t) { return s.page(t); };
        unit_keys sought(head_dim);
        std::mt19937 random(seed);
        for (std::size_t i = 0; i < n; ++i) {
          const auto& key = s.key[random() % s.key.size()];
          const float inverse = inverse_norm(key);
          sought.add(key.data(), inverse == inverse ? inverse : 0);
        }
        similar_key found[compared_at_once];
        cpu::most_similar_keys<A>(s.block(), tiles, page, s.inverse.data(), sought, found);
        for (std::size_t i = 0; i < n; ++i) {
          const similar_key expected =
              reference::most_similar_key(s.block(), tiles, page, s.inverse.data(), sought, i);
          REQUIRE(found[i].at.value == expected.at.value);
          REQUIRE(found[i].cosine == expected.cosine);
        }
      }
}

}  // namespace

TEMPLATE_TEST_CASE("the most similar key is the reference's on every architecture", "", weir::f32,
                   weir::f16, weir::bf16, weir::int8, weir::int4) {
  weir_test::for_each_arch([]<class A> { expect_reference<A, TestType>(); });
}

TEST_CASE("cosines of rounded keys are right to 1e-4, and 1 where keys are parallel") {
  const scene<f32> s(128, 4, 99);
  const auto page = [&](std::size_t t) { return s.page(t); };
  for (std::size_t from = 0; from < s.key.size(); ++from) {
    if (!(s.inverse[from] > 0)) continue;
    unit_keys sought(128);
    sought.add(s.key[from].data(), s.inverse[from]);
    similar_key itself, other;
    cpu::most_similar_keys(s.block(), s.tiles, page, s.inverse.data(), sought, &itself);
    CHECK(itself.at.value <= from);
    CHECK(s.key[itself.at.value] == s.key[from]);
    CHECK(std::abs(itself.cosine - 1) <= 1e-4f);

    auto others = s.inverse;
    for (std::size_t j = 0; j < others.size(); ++j)
      if (s.key[j] == s.key[from]) others[j] = std::numeric_limits<float>::quiet_NaN();
    cpu::most_similar_keys(s.block(), s.tiles, page, others.data(), sought, &other);
    double largest = -2;
    for (std::size_t j = 0; j < others.size(); ++j) {
      if (std::isnan(others[j])) continue;
      double dot = 0;
      for (std::size_t k = 0; k < 128; ++k) dot += double{s.key[j][k]} * double{s.key[from][k]};
      largest = std::max(largest, dot * double{others[j]} * double{s.inverse[from]});
    }
    CHECK(std::abs(other.cosine - largest) <= 1e-4);
  }
}
