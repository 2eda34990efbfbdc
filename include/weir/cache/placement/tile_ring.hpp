// Tiles of a stream that runs on in bounded memory: the first are pinned, the rest are a ring.
// Where a tile lies never shows in a result: only its number does.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct tile_ring {
  std::size_t pinned_tiles = 0;
  std::size_t ring_tiles = 0;

  std::size_t tiles() const { return pinned_tiles + ring_tiles; }

  /// Place of tile `number`, counted from the stream's first.
  std::uint32_t place(std::uint64_t number) const {
    if (number < pinned_tiles) return static_cast<std::uint32_t>(number);
    return static_cast<std::uint32_t>(pinned_tiles + (number - pinned_tiles) % ring_tiles);
  }
};

}  // namespace weir::inline WEIR_TARGET
