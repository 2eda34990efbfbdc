// What policies ask of all keys of a KV head: dot products with vectors, and weighted sums. Bits
// are those of reference/key_products.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/cpu/integer_tiles.hpp>
#include <weir/kernels/cpu/number_tiles.hpp>
#include <weir/kernels/cpu/tiles_behind.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

namespace detail {

/// Products of every lane of `Tiles` tiles with R queries: out[r][tile, lane].
template <class A, std::size_t R, std::size_t Tiles, storage_number T>
void dot_tiles(const std::array<const T*, Tiles>& keys, const tiles_behind<T, Tiles>& ahead,
               std::size_t head_dim, const float* const* query, const std::array<float*, R>& out) {
  constexpr std::size_t lanes = simd::lanes<A>, n = slice_registers<A, R * Tiles>,
                        width = n * lanes, all = Tiles * n;
  const auto place = [](std::size_t j) { return j % n * lanes; };  // of register j, in tile j / n
  std::size_t read = 0;
  for (std::size_t at = 0; at < tile_lanes; at += width) {
    simd::floats<A> sum[R][all];
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t j = 0; j < all; ++j) sum[r][j] = simd::broadcast<A>(0.0f);
    for (std::size_t k = 0; k < head_dim; ++k, read += Tiles * width * sizeof(T)) {
      simd::floats<A> x[all];
      for (std::size_t j = 0; j < all; ++j)
        x[j] = simd::load<A>(keys[j / n] + k * tile_lanes + at + place(j));
      ahead.template prefetch<Tiles * width * sizeof(T)>(read);
      for (std::size_t r = 0; r < R; ++r) {
        const auto q = simd::broadcast<A>(query[r][k]);
        for (std::size_t j = 0; j < all; ++j) sum[r][j] = simd::fma<A>(q, x[j], sum[r][j]);
      }
    }
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t j = 0; j < all; ++j)
        simd::store<A>(out[r] + j / n * tile_lanes + at + place(j), sum[r][j]);
  }
}

}  // namespace detail

/// Dot products of keys with the block's first `rows` queries (at most max_block_rows, the others
/// repeat the last of them), whatever lies in a lane: `out` `[row, tile, 32]`, rows `stride` apart.
/// Integer codecs round the queries to 8 bits, as attention does. O(rows · tiles · 32 · head_dim).
template <class A = simd::native, class Codec, class Page>
void key_dots(const attention_block<Codec>& block, std::size_t tiles, Page page, std::size_t rows,
              float* out, std::size_t stride) {
  const auto with = [&]<std::size_t R>() {
    std::array<float*, R> row;
    for (std::size_t r = 0; r < R; ++r) row[r] = out + std::min(r, rows - 1) * stride;
    const auto move_on = [&](std::size_t by) {
      for (float*& at : row) at += by * tile_lanes;
    };
    if constexpr (storage_number<Codec>) {
      // A single query's sums would wait for each other: two tiles at a time.
      constexpr std::size_t together = R == 1 ? 2 : 1;
      const auto dot = [&]<std::size_t Tiles>(std::size_t first) {
        std::array<const Codec*, Tiles> keys;
        for (std::size_t i = 0; i < Tiles; ++i) keys[i] = block.key_tile(page(first + i));
        const detail::tiles_behind<Codec, Tiles> ahead(block, page, first);
        detail::dot_tiles<A, R>(keys, ahead, block.head_dim, block.query[0].data(), row);
        move_on(Tiles);
      };
      std::size_t t = 0;
      for (; t + together <= tiles; t += together) dot.template operator()<together>(t);
      if (t < tiles) dot.template operator()<1>(t);
    } else {
      tile_reader<A, R, Codec> reader(block);
      std::uint32_t every[R];
      std::fill_n(every, R, ~0u);
      for (std::size_t t = 0; t < tiles; ++t, move_on(1)) {
        alignas(64) float score[R][tile_lanes] = {};
        reader.score(page(t), 0, every, {page(t + 1), page(t + 2)}, score);
        for (std::size_t r = 0; r < R; ++r) std::copy_n(score[r], tile_lanes, row[r]);
      }
    }
  };
  if (rows <= 1) return with.template operator()<1>();
  if (rows <= 4) return with.template operator()<4>();
  with.template operator()<max_block_rows>();
}

/// sum[k, lane mod 16] += weight[tile, lane] · key element k, tile by tile, in rising order of
/// lanes, over those whose weight is not 0. `sum` is `[head_dim, 16]`. O(tiles · 32 · head_dim).
template <class A = simd::native, class Codec, class Page>
void add_weighted_keys(const attention_block<Codec>& block, std::size_t tiles, Page page,
                       const float* weight, float* sum) {
  const tile_reader<A, 1, Codec> reader(block);
  const auto none = simd::broadcast<A>(0.0f);
  constexpr std::size_t lanes = simd::lanes<A>, parts = tile_lanes / lanes,
                        bytes = tile_lanes * sizeof(*block.keys);  // of an element of all keys
  for (std::size_t t = 0; t < tiles; ++t, weight += tile_lanes) {
    const std::size_t here = page(t);
    const detail::tiles_behind<Codec, 1> ahead(block, page, t);
    simd::floats<A> w[parts];
    for (std::size_t p = 0; p < parts; ++p) w[p] = simd::load<A>(weight + p * lanes);
    for (std::size_t k = 0; k < block.head_dim; ++k) {
      ahead.template prefetch<bytes>(k * bytes);
      for (std::size_t at = 0; at < key_sum_lanes; at += lanes) {
        float* const to = sum + k * key_sum_lanes + at;
        auto total = simd::load<A>(to);
        for (std::size_t p = at / lanes; p < parts; p += key_sum_lanes / lanes) {
          const auto key = reader.key(here, k, p * lanes);
          total = simd::fma<A>(w[p], xsimd::select(w[p] == none, none, key), total);
        }
        simd::store<A>(to, total);
      }
    }
  }
}

}  // namespace weir::inline WEIR_TARGET::cpu
