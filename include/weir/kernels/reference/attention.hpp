// Attention written to be read: it defines, bit for bit, what the fast kernel computes.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/integer_tiles.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// Element k of the key in `lane` of a tile, rotated if the block says so.
template <class Codec>
float key_element(const attention_block<Codec>& block, const visit_piece& piece, std::size_t lane,
                  std::size_t k) {
  const auto raw = [&](std::size_t i) {
    return kv_tiles<Codec>::key(block.key_tile(piece.page), block.head_dim, lane, i);
  };
  if (block.rotation == nullptr) return raw(k);
  const rotate_on_read& turn = *block.rotation;
  for (std::size_t i = 0; i < turn.pairs; ++i) {
    const auto [a, b] = turn.elements(i);
    if (k != a && k != b) continue;
    const std::size_t at = i * turn.stride + block.rank[piece.tile * tile_lanes + lane];
    if (k == a) return std::fma(raw(a), turn.cos[at], -(raw(b) * turn.sin[at]));
    return std::fma(raw(b), turn.cos[at], raw(a) * turn.sin[at]);
  }
  return raw(k);
}

/// The largest magnitude of some numbers; NaN if one of them is.
inline float largest_magnitude(const float* x, std::size_t n) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, simd::magnitude_bits(x[i]));
  return std::bit_cast<float>(most);
}

/// A score: one fused chain over the elements, k rising. Of integers that need no rotation: the
/// query is rounded to 8 bits; an exact sum for each group, then one fused chain over the groups.
template <class Codec>
float score(const attention_block<Codec>& block, const float* query, const visit_piece& piece,
            std::size_t lane) {
  float sum = 0;
  if constexpr (integer_codec<Codec>)
    if (block.rotation == nullptr) {
      const query_scale unit(largest_magnitude(query, block.head_dim));
      const auto* const scales =
          kv_tiles<Codec>::key_scales(block.key_tile(piece.page), block.head_dim);
      for (std::size_t first = 0; first < block.head_dim; first += Codec::group) {
        std::int32_t exact = 0;
        for (std::size_t k = first; k < std::min(first + Codec::group, block.head_dim); ++k)
          exact += simd::round_to_int16(query[k], unit.inverse) *
                   kv_tiles<Codec>::key_code(block.key_tile(piece.page), lane, k);
        sum = std::fma(static_cast<float>(exact),
                       to_float(scales[first / Codec::group * tile_lanes + lane]), sum);
      }
      return sum * unit.scale;
    }
  for (std::size_t k = 0; k < block.head_dim; ++k)
    sum = std::fma(query[k], key_element(block, piece, lane, k), sum);
  return sum;
}

/// o · rescale + Σ weight · value of element k over the live lanes, in lane order: one fused chain.
template <class Codec>
float add_values(const attention_block<Codec>& block, std::size_t k, const std::size_t* tile,
                 std::uint32_t live, const float* weight, float o, float rescale) {
  o = o * rescale;
  for (std::size_t lane = 0; lane < tile_lanes; ++lane)
    if ((live >> lane & 1u) != 0)
      o = std::fma(weight[lane],
                   kv_tiles<Codec>::value(block.value_tile(tile[lane]), block.head_dim, lane, k),
                   o);
  return o;
}

/// Of integers: a row's weights, times the values' scales, are rounded to 15 bits by one power of
/// two; one exact sum.
template <integer_codec Codec>
float add_values(const attention_block<Codec>& block, std::size_t k, const std::size_t* tile,
                 std::uint32_t live, const float* weight, float o, float rescale) {
  using tiles = kv_tiles<Codec>;
  const std::size_t groups = tiles::groups(block.head_dim);
  std::vector<float> scaled(groups * tile_lanes);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t lane = 0; lane < tile_lanes; ++lane)
      if ((live >> lane & 1u) != 0)
        scaled[g * tile_lanes + lane] =
            weight[lane] * to_float(tiles::value_scales(block.value_tile(tile[lane]),
                                                        block.head_dim)[g * tile_lanes + lane]);
  const weight_scale unit(largest_magnitude(scaled.data(), scaled.size()));
  std::int32_t exact = 0;
  if (k < block.head_dim)
    for (std::size_t lane = 0; lane < tile_lanes; ++lane)
      if ((live >> lane & 1u) != 0)
        exact += simd::round_to_int16(scaled[k / Codec::group * tile_lanes + lane], unit.inverse) *
                 tiles::value_code(block.value_tile(tile[lane]), block.head_dim, lane, k);
  return std::fma(static_cast<float>(exact), unit.scale, o * rescale);
}

/// Folds the visits of one split into `state`, one per packed row. O(visits · 32 · head_dim).
template <class Codec>
void fold(const attention_block<Codec>& block, const visit_list& plan, attention_state* state,
          std::size_t rows) {
  const float lowest = -std::numeric_limits<float>::infinity();
  for (const tile_visit& visit : plan.visits()) {
    for (std::size_t r = 0; r < rows; ++r) {
      float at[tile_lanes];
      std::size_t tile[tile_lanes] = {};
      std::uint32_t live = 0;
      std::fill(at, at + tile_lanes, lowest);
      for (const visit_piece& piece : plan.pieces(visit)) {
        for (std::size_t lane = 0; lane < tile_lanes; ++lane) {
          if ((piece.live[block.step_row[r]] >> lane & 1u) == 0) continue;
          live |= 1u << lane;
          tile[lane] = piece.page;
          at[lane] = score(block, block.query[visit.variant][r], piece, lane);
        }
      }
      if (live == 0) continue;

      attention_state& s = state[r];
      float m = std::max(s.m, attention_state::lowest_read);
      for (const float x : at) m = x > m ? x : m;  // NaN is no largest score
      const float rescale = s.empty() ? 0 : s.m == m ? 1 : simd::exp(s.m - m);
      float weight[tile_lanes], halves[tile_lanes];
      for (std::size_t lane = 0; lane < tile_lanes; ++lane)
        halves[lane] = weight[lane] = simd::exp(at[lane] - m);
      const raw_attention& out = block.raw[r];
      if (out.raw_scores != nullptr)
        std::copy_n(at, tile_lanes, out.raw_scores + visit.place * tile_lanes);
      if (out.raw_weights != nullptr)
        std::copy_n(weight, tile_lanes, out.raw_weights + visit.place * tile_lanes);
      if (out.largest != nullptr) out.largest[visit.place] = m;
      s.m = m;
      s.d = std::fma(s.d, rescale, simd::sum_halving(halves, tile_lanes));
      for (std::size_t k = 0; k < padded_head_dim(block.head_dim); ++k)
        s.o[k] = add_values(block, k, tile, live, weight, s.o[k], rescale);
    }
  }
}

}  // namespace weir::inline WEIR_TARGET::reference
