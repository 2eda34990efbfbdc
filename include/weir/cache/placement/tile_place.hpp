// Where rows that are not final lie. Siblings of equal depth share one address: the first of them
// lies at home, the others on the same lane of a draft tile.
#pragma once

#include <cstdint>
#include <span>

#include <weir/cache/step_rows.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// A lane of a physical tile.
struct tile_place {
  std::uint32_t tile = 0;
  std::uint32_t lane = 0;
  friend bool operator==(tile_place, tile_place) = default;
};

/// Chooses a physical tile for each provisional row: first fit, so that the same step always gets
/// the same tiles. `home(depth)` is the place of the address at that depth. O(drafts · tiles).
template <class Home>
void place_drafts(const step_rows& rows, Home home, std::uint32_t first_draft_tile,
                  std::span<tile_place> place) {
  std::uint32_t taken[max_draft_rows] = {};  // lanes of each draft tile
  for (std::size_t i = 0; i < rows.drafts(); ++i) {
    place[i] = home(rows.depth(i));
    if (rows.rank(i) == 0) continue;
    const std::uint32_t lane = 1u << place[i].lane;
    std::uint32_t t = 0;
    while ((taken[t] & lane) != 0) ++t;
    taken[t] |= lane;
    place[i].tile = first_draft_tile + t;
  }
}

/// Draft tiles that `place_drafts` can need when at most `shared` home tiles hold the drafts.
constexpr std::size_t draft_tiles(std::size_t max_drafts, std::size_t max_width,
                                  std::size_t shared) {
  const std::size_t siblings = max_width - 1;
  const std::size_t crossed = max_drafts < shared ? max_drafts : shared;
  const std::size_t needed = siblings * crossed;
  return needed < max_drafts ? needed : (max_drafts > 0 ? max_drafts - 1 : 0);
}

}  // namespace weir::inline WEIR_TARGET
