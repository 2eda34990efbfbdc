// The key most like another one, written to be read: it defines what the fast kernel finds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/unit_keys.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// See cpu::most_similar_keys; of the i-th key. Of equal ones the one in the lowest slot.
template <class Codec, class Page>
similar_key most_similar_key(const attention_block<Codec>& block, std::size_t tiles, Page page,
                             const float* inverse_norm, const unit_keys& keys, std::size_t i) {
  std::int32_t most = std::numeric_limits<std::int32_t>::min();
  similar_key found;
  for (std::uint32_t s = 0; s < tiles * tile_lanes; ++s) {
    const float inverse = inverse_norm[s];
    if (inverse != inverse) continue;
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < block.head_dim; ++k) {
      const float x = kv_tiles<Codec>::key(block.key_tile(page(s / tile_lanes)), block.head_dim,
                                           s % tile_lanes, k);
      sum += simd::round_to_int16(x, inverse * (unit_keys::one * block.key_scale)) *
             std::int32_t{keys(i, k)};
    }
    if (sum > most) most = sum, found = {{s}, unit_keys::cosine(sum)};
  }
  return found;
}

}  // namespace weir::inline WEIR_TARGET::reference
