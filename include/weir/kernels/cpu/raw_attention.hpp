// From what attention hands out to what a row saw: probabilities, or logits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

/// Of one row's probabilities in `group` query heads, weight · exp(largest − m) / d in the tiles
/// the row read and 0 in the others, the mean and the largest: `mean` and `most` `[tile, 32]`, each
/// if it is asked for. `weight` and `largest` are those of the first query head, the next ones' lie
/// `tile_stride` tiles behind; `total` `[query head, 2]` holds m and d; who read nothing (d = 0)
/// has no probabilities but 0. One chain over the query heads. O(group · tiles · 32). `largest` is
/// overwritten.
template <bool Mean, bool Most, class A = simd::native>
void row_probabilities(const float* weight, float* largest, std::size_t tile_stride,
                       const float* total, std::size_t group, std::size_t tiles, float* mean,
                       float* most) {
  constexpr std::size_t w = simd::lanes<A>, n = tile_lanes / w;
  static_assert(split_tiles % w == 0);
  // From largest scores to what weights are worth in the mean: exp(−∞) is 0 where a tile was not
  // read.
  const auto share = simd::broadcast<A>(1.0f / static_cast<float>(group));
  for (std::size_t g = 0; g < group; ++g) {
    if (total[2 * g + 1] == 0) {
      std::fill_n(largest + g * tile_stride, tiles, 0.0f);
      continue;
    }
    const auto m = simd::broadcast<A>(total[2 * g]), d = simd::broadcast<A>(total[2 * g + 1]);
    for (float* at = largest + g * tile_stride; at < largest + g * tile_stride + tiles; at += w)
      simd::store<A>(at, simd::divide<A>(simd::exp<A>(simd::load<A>(at) - m) * share, d));
  }
  for (std::size_t t = 0; t < tiles; ++t) {
    simd::floats<A> sum[n], top[n];
    for (std::size_t i = 0; i < n; ++i) sum[i] = top[i] = simd::broadcast<A>(0.0f);
    for (std::size_t g = 0; g < group; ++g) {
      const float factor = largest[g * tile_stride + t];
      if (factor == 0) continue;  // weights that were never written
      const auto f = simd::broadcast<A>(factor);
      const float* const from = weight + (g * tile_stride + t) * tile_lanes;
      for (std::size_t i = 0; i < n; ++i) {
        const auto x = simd::load<A>(from + i * w);
        if (Mean) sum[i] = simd::fma<A>(x, f, sum[i]);
        if (Most) top[i] = simd::max<A>(top[i], x * f);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = t * tile_lanes + i * w;
      if (Mean) simd::store<A>(mean + at, sum[i]);
      if (Most) simd::store<A>(most + at, top[i] * simd::broadcast<A>(static_cast<float>(group)));
    }
  }
}

/// The same, each of `mean` and `most` unless it is null.
template <class A = simd::native>
void row_probabilities(const float* weight, float* largest, std::size_t tile_stride,
                       const float* total, std::size_t group, std::size_t tiles, float* mean,
                       float* most) {
  const auto both = [&]<bool Mean, bool Most>() {
    row_probabilities<Mean, Most, A>(weight, largest, tile_stride, total, group, tiles, mean, most);
  };
  if (mean == nullptr) return both.template operator()<false, true>();
  if (most == nullptr) return both.template operator()<true, false>();
  both.template operator()<true, true>();
}

}  // namespace weir::inline WEIR_TARGET::cpu
