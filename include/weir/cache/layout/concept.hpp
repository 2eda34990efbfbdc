// Layout: where the tiles of a (layer, KV head) lie in memory. A tile number says which
// token is folded when, and so the bits; a layout only says where the tile is, so it cannot change
// a result.
//
// A layout has
//   Layout::pages_taken        true: tiles take a page when they are first written and give it back
//                              when nothing in them lives, so that a KV head costs what it holds
//   page_map<Layout>           which page a tile lies in
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

namespace layouts {

/// One block per KV head, as long as it will ever need.
struct contiguous {
  static constexpr bool pages_taken = false;
};

/// One pool of pages, a table for each KV head, reference counts, copy on write. vLLM's
/// PagedAttention (arXiv 2309.06180) with pages of one tile, 32 tokens of one KV head, so that KV
/// heads may differ in length.
struct paged {
  static constexpr bool pages_taken = true;
};

}  // namespace layouts

template <class L>
concept layout_policy = requires {
  { L::pages_taken } -> std::convertible_to<bool>;
};

template <layout_policy Layout>
class page_map;

/// No page.
inline constexpr std::uint32_t no_page = std::numeric_limits<std::uint32_t>::max();

}  // namespace weir::inline WEIR_TARGET
