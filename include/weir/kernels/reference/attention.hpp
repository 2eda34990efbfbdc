// Attention written to be read: it defines, bit for bit, what the fast kernel computes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <weir/kernels/attention.hpp>

namespace weir::reference {

/// Element k of the key in `lane` of physical `tile`, rotated if the block says so.
template <class T>
float key_element(const attention_block<T>& block, std::size_t tile, std::size_t lane,
                  std::size_t k) {
  const T* keys = block.keys + tile * block.head_dim * tile_lanes + lane;
  const auto raw = [&](std::size_t i) { return to_float(keys[i * tile_lanes]); };
  if (block.rotation == nullptr) return raw(k);
  const rotate_on_read& turn = *block.rotation;
  for (std::size_t i = 0; i < turn.pairs; ++i) {
    const auto [a, b] = turn.elements(i);
    if (k != a && k != b) continue;
    const std::size_t at = i * turn.stride + block.rank[tile * tile_lanes + lane];
    if (k == a) return std::fma(raw(a), turn.cos[at], -(raw(b) * turn.sin[at]));
    return std::fma(raw(b), turn.cos[at], raw(a) * turn.sin[at]);
  }
  return raw(k);
}

/// Folds the visits of one split into `state`, one per packed row. O(visits · 32 · head_dim).
template <class T>
void fold(const attention_block<T>& block, const visit_list& plan, attention_state* state,
          std::size_t rows) {
  const std::size_t padded = padded_head_dim(block.head_dim);
  const float lowest = -std::numeric_limits<float>::infinity();
  for (const tile_visit& visit : plan.visits()) {
    for (std::size_t r = 0; r < rows; ++r) {
      float score[tile_lanes];
      const T* value[tile_lanes];
      std::uint32_t live = 0;
      std::fill(score, score + tile_lanes, lowest);
      for (const visit_piece& piece : plan.pieces(visit)) {
        for (std::size_t lane = 0; lane < tile_lanes; ++lane) {
          if ((piece.live[block.step_row[r]] >> lane & 1u) == 0) continue;
          live |= 1u << lane;
          value[lane] = block.values + (piece.tile * tile_lanes + lane) * padded;
          score[lane] = 0;  // one fused chain, k rising
          for (std::size_t k = 0; k < block.head_dim; ++k)
            score[lane] = std::fma(block.query[visit.variant][r][k],
                                   key_element(block, piece.tile, lane, k), score[lane]);
        }
      }
      const float largest = *std::max_element(score, score + tile_lanes);
      if (live == 0 || largest == lowest) continue;

      attention_state& s = state[r];
      const float m = std::max(s.m, largest);
      const float rescale = simd::exp(s.m - m);
      float weight[tile_lanes], halves[tile_lanes];
      for (std::size_t lane = 0; lane < tile_lanes; ++lane)
        halves[lane] = weight[lane] = simd::exp(score[lane] - m);
      s.m = m;
      s.d = std::fma(s.d, rescale, simd::sum_halving(halves, tile_lanes));
      for (std::size_t k = 0; k < padded; ++k) {
        s.o[k] = s.o[k] * rescale;
        for (std::size_t lane = 0; lane < tile_lanes; ++lane)
          if ((live >> lane & 1u) != 0)
            s.o[k] = std::fma(weight[lane], to_float(value[lane][k]), s.o[k]);
      }
    }
  }
}

}  // namespace weir::reference
