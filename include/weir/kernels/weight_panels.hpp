// Quantised weights repacked: the blocks of 16 rows side by side, so that products read a stream of
// whole registers and move nothing about. As many bytes as before, every one of them another
// copy's.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/matrix_view.hpp>

namespace weir::inline WEIR_TARGET {

/// Whether weights may be repacked: those in blocks of 32. Blocks of 256 gain nothing by it.
constexpr bool can_repack(weight_type type) {
  return with_element(
      type, []<class Element>(std::type_identity<Element>) { return weights_in<Element> == 32; });
}

/// Rows of a panel. Those that are left over behind the last whole panel stay as they are.
inline constexpr std::size_t panel_height = 16;

namespace detail {

/// Where a block has two bytes that go on their own; all others go in fours.
template <class Block>
inline constexpr std::size_t lone_half = Block::has_offset ? sizeof(Block) : offsetof(Block, scale);

/// Calls `f(offset, bytes)` for the units of a block. That of row r lies at `panel_offset`.
template <class Block, class F>
void for_each_unit(const F& f) {
  for (std::size_t at = 0; at < sizeof(Block);) {
    const std::size_t bytes = at == lone_half<Block> ? 2 : 4;
    f(at, bytes);
    at += bytes;
  }
}
constexpr std::size_t panel_offset(std::size_t unit, std::size_t bytes, std::size_t row) {
  return panel_height * unit + row * bytes;
}

/// One row's block of a panel.
template <class Block>
Block block_in_panel(const Block* panel, std::size_t row) {
  const auto* const from = reinterpret_cast<const std::byte*>(panel);
  Block block;
  auto* const to = reinterpret_cast<std::byte*>(&block);
  for_each_unit<Block>([&](std::size_t at, std::size_t bytes) {
    std::memcpy(to + at, from + panel_offset(at, bytes, row), bytes);
  });
  return block;
}

/// The panels of rows `first` to `last`, from `w`'s first row on.
template <class Block>
void fill_panels(const Block* w, std::size_t blocks, std::size_t first, std::size_t last,
                 std::byte* out) {
  for (std::size_t r = first; r < last; r += panel_height)
    for (std::size_t b = 0; b < blocks; ++b)
      for (std::size_t row = 0; row < panel_height; ++row) {
        const auto* const from = reinterpret_cast<const std::byte*>(w + (r + row) * blocks + b);
        std::byte* const to = out + (r * blocks + b * panel_height) * sizeof(Block);
        for_each_unit<Block>([&](std::size_t at, std::size_t bytes) {
          std::memcpy(to + panel_offset(at, bytes, row), from + at, bytes);
        });
      }
}

}  // namespace detail

/// Copies `[rows, cols]` weights into panels at `out`, which has room for `w.bytes()` bytes and is
/// aligned to a cache line, and views them there. Products of the copy have the same bits as those
/// of `w`. Throws error::bad_input unless `can_repack(w.type)`. O(w.bytes()).
matrix_view repack(const matrix_view& w, std::byte* out, executor& threads);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/kernels/weight_panels.inl.hpp>
#endif
