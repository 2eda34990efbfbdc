// What policies ask of all keys, written to be read: it defines, bit for bit, what the fast kernels
// compute.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/reference/attention.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// See cpu::key_dots. One row's product with the key in a slot.
template <class Codec>
float key_dot(const attention_block<Codec>& block, std::size_t page, std::size_t lane,
              const float* query) {
  return score(block, query, visit_piece{.page = static_cast<std::uint32_t>(page)}, lane);
}

/// See cpu::add_weighted_keys.
template <class Codec, class Page>
void add_weighted_keys(const attention_block<Codec>& block, std::size_t tiles, Page page,
                       const float* weight, float* sum) {
  for (std::size_t t = 0; t < tiles; ++t)
    for (std::size_t k = 0; k < block.head_dim; ++k)
      for (std::size_t lane = 0; lane < tile_lanes; ++lane)
        if (const float w = weight[t * tile_lanes + lane]; w != 0) {
          float& to = sum[k * key_sum_lanes + lane % key_sum_lanes];
          to = std::fma(w, kv_tiles<Codec>::key(block.key_tile(page(t)), block.head_dim, lane, k),
                        to);
        }
}

}  // namespace weir::inline WEIR_TARGET::reference
