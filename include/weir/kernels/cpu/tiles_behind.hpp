// Asking for keys while others are read, tile after tile.
#pragma once

#include <array>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu::detail {

/// The keys that are read after some that are read side by side: asked for from the first tile's
/// beginning to the last one's end, since memory answers fastest to one who reads on.
template <class Codec, std::size_t Tiles>
struct tiles_behind {
  std::array<const void*, Tiles> next, later;
  std::size_t tile_bytes;

  /// Behind tiles first … first + Tiles − 1.
  template <class Page>
  tiles_behind(const attention_block<Codec>& block, Page page, std::size_t first)
      : tile_bytes(kv_tiles<Codec>::key_size(block.head_dim) * sizeof(*block.keys)) {
    for (std::size_t i = 0; i < Tiles; ++i) {
      next[i] = block.key_tile(page(first + Tiles + i));
      later[i] = block.key_tile(page(first + 2 * Tiles + i));
    }
  }

  /// While `Bytes` bytes are read, with `at` before them, of all tiles together.
  template <std::size_t Bytes>
  void prefetch(std::size_t at) const {
    const bool in_first = Tiles == 1 || at < tile_bytes;
    if (!in_first) at -= tile_bytes;
    simd::prefetch_lines<Bytes>(in_first ? next.front() : next.back(), at);
    if constexpr (!simd::nearest_waits_for_many)
      for (std::size_t i = 0; i < Bytes; i += 64)
        simd::prefetch(in_first ? later.front() : later.back(), at + i);
  }
  static_assert(Tiles <= 2);
};

}  // namespace weir::inline WEIR_TARGET::cpu::detail
