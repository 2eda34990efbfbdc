// From what attention hands out to what a row saw: probabilities, or logits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <weir/kernels/attention.hpp>
#include <weir/simd/simd.hpp>

namespace weir::cpu {

/// Query heads that share a KV head's keys, at most.
inline constexpr std::size_t max_group = 256;

/// out[tile, 32] = mean over `group` query heads of the probabilities of one row: weight ·
/// exp(largest − m) / d in the tiles the row read, 0 in the others. `weight` and `largest` are
/// those of the first query head, the next ones' lie `tile_stride` tiles behind; `total` `[query
/// head, 2]` holds m and d. One fused chain over the query heads. O(group · tiles · 32).
template <class A = simd::native>
void mean_probabilities(const float* weight, const float* largest, std::size_t tile_stride,
                        const float* total, std::size_t group, std::size_t tiles, float* out) {
  const auto share = simd::broadcast<A>(1.0f / static_cast<float>(group));
  for (std::size_t t = 0; t < tiles; ++t, out += tile_lanes) {
    float factor[max_group];
    bool read = false;
    for (std::size_t g = 0; g < group; ++g) {
      const float most = largest[g * tile_stride + t];
      factor[g] = 0;
      if (most == -std::numeric_limits<float>::infinity()) continue;
      factor[g] = simd::exp(most - total[2 * g]) / total[2 * g + 1];
      read = true;
    }
    for (std::size_t at = 0; at < tile_lanes; at += simd::lanes<A>) {
      auto sum = simd::broadcast<A>(0.0f);
      if (read)
        for (std::size_t g = 0; g < group; ++g)
          if (factor[g] != 0)
            sum = simd::fma<A>(simd::load<A>(weight + (g * tile_stride + t) * tile_lanes + at),
                               simd::broadcast<A>(factor[g]), sum);
      simd::store<A>(out + at, sum * share);
    }
  }
}

/// out[tile, 32] = one query head's logits, −∞ in tiles it did not read. O(tiles · 32).
inline void read_logits(const float* score, const float* largest, std::size_t tiles, float* out) {
  constexpr float none = -std::numeric_limits<float>::infinity();
  for (std::size_t t = 0; t < tiles; ++t) {
    float* const to = out + t * tile_lanes;
    if (largest[t] == none)
      std::fill_n(to, tile_lanes, none);
    else
      std::copy_n(score + t * tile_lanes, tile_lanes, to);
  }
}

}  // namespace weir::cpu
