// From "which lanes does a row read" to the visits a kernel folds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <weir/cache/placement/tile_place.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

/// The lanes of a split that one row reads among committed tokens and the step's final rows, by
/// query variant. Provisional rows are added by `plan_visits`.
struct split_masks {
  std::uint32_t lanes[query_variants][split_tiles];
};

/// Variant 0 is the query at the row's own position, variant 1 at the position from which it sees
/// the sinks. Sinks are visited first.
inline constexpr std::uint8_t own_variant = 0, sink_variant = 1;

/// Lists the visits of split number `split` for step rows [first, last), tiles rising.
///
/// `keeper` answers for one (layer, KV head) `head_index`:
///   read_lanes(head_index, rows, r, split, split_masks&)   what row r reads at home
///   physical(head_index, tile number) -> physical tile
///   draft_address(head_index, rows, draft) -> address      where a provisional row belongs
///   draft_place(head_index, draft) -> tile_place           and where it lies
template <class Keeper>
void plan_visits(const Keeper& keeper, std::size_t head_index, const step_rows& rows,
                 std::size_t first, std::size_t last, std::uint64_t split, visit_list& list) {
  list.clear();
  split_masks masks[max_block_rows];
  std::uint32_t any[query_variants][split_tiles] = {};
  std::uint64_t drafts = 0;
  for (std::size_t r = first; r < last; ++r) {
    masks[r - first] = {};
    keeper.read_lanes(head_index, rows, r, split, masks[r - first]);
    for (std::size_t v = 0; v < query_variants; ++v)
      for (std::size_t t = 0; t < split_tiles; ++t) any[v][t] |= masks[r - first].lanes[v][t];
    drafts |= rows.ancestors(r);
  }
  for (std::size_t t = 0; t < split_tiles; ++t) {
    const std::uint64_t number = split * split_tiles + t;
    for (const std::uint8_t v : {sink_variant, own_variant}) {
      const bool with_drafts = v == own_variant && drafts != 0;
      if (any[v][t] == 0 && !with_drafts) continue;
      list.open(v, t);
      if (any[v][t] != 0) {
        visit_piece& home = list.piece(keeper.physical(head_index, number));
        for (std::size_t r = first; r < last; ++r)
          home.live[r - first] = masks[r - first].lanes[v][t];
      }
      for (std::uint64_t left = with_drafts ? drafts : 0; left != 0; left &= left - 1) {
        const auto draft = static_cast<std::size_t>(std::countr_zero(left));
        if (keeper.draft_address(head_index, rows, draft) / tile_lanes != number) continue;
        const tile_place place = keeper.draft_place(head_index, draft);
        visit_piece& piece = list.piece(place.tile);
        for (std::size_t r = first; r < last; ++r)
          if ((rows.ancestors(r) >> draft & 1u) != 0) piece.live[r - first] |= 1u << place.lane;
      }
      if (any[v][t] == 0) list.drop_if_empty();
    }
  }
}

}  // namespace weir::inline WEIR_TARGET
