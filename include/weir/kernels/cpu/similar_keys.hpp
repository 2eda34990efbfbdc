// Which of a KV head's keys are most like others. Bits are those of reference/similar_keys.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/cpu/integer_tiles.hpp>
#include <weir/kernels/cpu/number_tiles.hpp>
#include <weir/kernels/cpu/tiles_behind.hpp>
#include <weir/kernels/unit_keys.hpp>
#include <weir/simd/kv_dots.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

namespace detail {

/// A tile of unit keys: elements 2 i and 2 i + 1 of lane l in the halves of `[i, l]`.
using unit_tile = std::array<std::int32_t, (max_head_dim + 1) / 2 * tile_lanes>;

/// Keys of one tile; `inverse_norm` `[32]`. Meanwhile the keys ahead are asked for.
template <class A, class Codec>
void round_tile(const attention_block<Codec>& block, std::size_t page, const float* inverse_norm,
                const tiles_behind<Codec, 1>& ahead, unit_tile& out) {
  using integers = xsimd::batch<std::int32_t, A>;
  constexpr std::size_t lanes = simd::lanes<A>, bytes = tile_lanes * sizeof(*block.keys);
  const std::size_t head_dim = block.head_dim;
  const attention_block<Codec> keys{.keys = block.keys, .head_dim = head_dim};  // in registers
  const tile_reader<A, 1, Codec> reader(keys);
  const auto shift = simd::broadcast<A>(simd::rounder);  // as in round_to_int16
  const auto one = simd::broadcast<A>(unit_keys::one * block.key_scale);
  for (std::size_t k = 0; k < head_dim; k += 2) {
    ahead.template prefetch<2 * bytes>(k * bytes);
    for (std::size_t at = 0; at < tile_lanes; at += lanes) {
      const auto scale = simd::load<A>(inverse_norm + at) * one;
      const auto rounded = [&](std::size_t i) {
        const auto x = i < head_dim ? reader.key(page, i, at) : simd::broadcast<A>(0.0f);
        return simd::bits_as<integers>(simd::fma<A>(x, scale, shift));
      };
      const integers both = (rounded(k) & integers(0xFFFF)) | (rounded(k + 1) << 16);
      both.store_unaligned(&out[k / 2 * tile_lanes + at]);
    }
  }
}

/// Of each lane the largest sum of products with one key, and the first tile that has it.
struct likest_lanes {
  alignas(64) std::int32_t sum[tile_lanes];
  alignas(64) std::int32_t tile[tile_lanes];

  void reset() {
    std::fill_n(sum, tile_lanes, std::numeric_limits<std::int32_t>::min());
    std::fill_n(tile, tile_lanes, 0);
  }
  /// Of equal ones the one in the lowest slot.
  similar_key best() const {
    const std::int32_t most = *std::max_element(sum, sum + tile_lanes);
    std::int32_t first = std::numeric_limits<std::int32_t>::max();
    for (std::int32_t l = 0, lanes = tile_lanes; l < lanes; ++l)
      first = std::min(first, sum[l] == most ? tile[l] * lanes + l : first);
    return {{static_cast<std::uint32_t>(first)}, unit_keys::cosine(most)};
  }
};

/// Compares the keys of a tile that are in `candidates` with R others of a group, from `first` on.
template <class A, std::size_t R>
void compare_tile(const unit_tile& tile, std::size_t number, std::uint32_t candidates,
                  const unit_keys& keys, std::size_t first, std::size_t head_dim,
                  likest_lanes* likest) {
  using dots = simd::kv_dots<A>;
  constexpr std::size_t lanes = simd::lanes<A>, n = slice_registers<A, R>;
  for (std::size_t at = 0; at < tile_lanes; at += n * lanes) {
    typename dots::sums sum[R][n];
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < n; ++i) sum[r][i] = dots::broadcast(0);
    const std::int16_t* key = keys.pair(first, 0);
    for (std::size_t k = 0; k < head_dim; k += 2, key += 2 * unit_keys::group) {
      typename dots::pairs x[n];
      for (std::size_t i = 0; i < n; ++i)
        x[i] = dots::load_pairs(&tile[k / 2 * tile_lanes + at + i * lanes]);
      for (std::size_t r = 0; r < R; ++r)
        for (std::size_t i = 0; i < n; ++i)
          sum[r][i] = dots::stay(dots::dot(sum[r][i], x[i], key + 2 * r));
    }
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t l = at + i * lanes;
        dots::keep_largest(sum[r][i], candidates >> l, static_cast<std::int32_t>(number),
                           likest[r].sum + l, likest[r].tile + l);
      }
  }
}

}  // namespace detail

/// Of each of `keys` the most similar one in tiles 0 … tiles − 1, which lie at page(tile), as in
/// key_products.hpp. `inverse_norm` `[tile, 32]`: 1 / norm of the keys to be compared with, at
/// least one, and NaN elsewhere. Products keep the processor busy, so that memory can bring the
/// tiles' values meanwhile: who compares keys will attend to what stays, or merge it. O(tiles · 32
/// · head_dim · keys).
template <class A = simd::native, class Codec, class Page>
void most_similar_keys(const attention_block<Codec>& block, std::size_t tiles, Page page,
                       const float* inverse_norm, const unit_keys& keys, similar_key* out) {
  const std::size_t n = keys.size();
  alignas(64) detail::unit_tile tile;
  std::array<detail::likest_lanes, compared_at_once> likest;
  for (std::size_t r = 0; r < n; ++r) likest[r].reset();
  const std::size_t value_bytes =
      kv_tiles<Codec>::value_size(block.head_dim) * sizeof(typename kv_tiles<Codec>::storage);
  for (std::size_t t = 0; t < tiles; ++t) {
    float scale[tile_lanes];
    std::uint32_t candidates = 0;
    for (std::size_t l = 0; l < tile_lanes; ++l) {
      const float x = inverse_norm[t * tile_lanes + l];
      candidates |= static_cast<std::uint32_t>(x == x) << l;
      scale[l] = x == x ? x : 0;
    }
    if (candidates == 0) continue;
    detail::round_tile<A>(block, page(t), scale, {block, page, t}, tile);
    const auto* const values = block.value_tile(page(t));
    std::size_t asked = 0;
    for (std::size_t r = 0; r < n;) {
      for (const std::size_t end = value_bytes * std::min(r + unit_keys::group, n) / n; asked < end;
           asked += 64)
        simd::prefetch(values, asked);
      const auto compare = [&]<std::size_t R>() {
        detail::compare_tile<A, R>(tile, t, candidates, keys, r, block.head_dim, &likest[r]);
        r += R;
      };
      if (n - r > 4)
        compare.template operator()<unit_keys::group>();
      else
        compare.template operator()<2>();
    }
  }
  for (std::size_t r = 0; r < n; ++r) out[r] = likest[r].best();
}

}  // namespace weir::inline WEIR_TARGET::cpu
