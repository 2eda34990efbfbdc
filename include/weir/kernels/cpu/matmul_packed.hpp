// Matrix products with packed weights of 4 to 8 bits, one template for all of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <weir/kernels/cpu/packed_panel.hpp>
#include <weir/kernels/cpu/packed_row.hpp>
#include <weir/kernels/cpu/packed_tile.hpp>
#include <weir/kernels/cpu/panel_product.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::detail {

/// One output of all rows, for the outputs that are left over. `block_at(i)` is block i of its
/// weights.
template <class Block, class At>
void packed_output(const At& block_at, std::size_t cols, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t stride, bool add) {
  constexpr std::size_t width = quantized_rows::block, parts = Block::size / width;
  constexpr std::size_t most = 8;
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t count = std::min(most, rows - first);
    float sum[most] = {};
    for (std::size_t p = 0; p < cols / width; ++p) {
      const Block& block = block_at(p / parts);
      std::int8_t codes[width];
      unpack(block, p % parts, codes);
      const float scale = scale_of(block, p % parts);
      for (std::size_t row = 0; row < count; ++row) {
        const std::size_t at = (first + row) * (cols / width) + p;
        const std::int32_t exact = dot_part(block, p % parts, codes, &x.quants[at * width]);
        sum[row] = std::fma(static_cast<float>(exact), scale * x.scales[at], sum[row]);
        if constexpr (Block::has_offset)
          sum[row] = std::fma(offset_of(block, p % parts), x.totals[at], sum[row]);
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      float& out = y[(first + row) * stride];
      out = add ? out + sum[row] : sum[row];
    }
  }
}

#if defined(__AVX2__) && defined(__F16C__)

/// A panel's outputs of all rows; those from `first_wanted` on are written. The panel is unpacked
/// in slices that stay in cache while the rows pass over them; sums wait in between. The panel
/// behind it is asked for.
template <class A, class Layout, class Block>
void packed_panel(const Layout& layout, const Block* w, std::size_t blocks, const quantized_rows& x,
                  std::size_t rows, float* y, std::size_t first_wanted, std::size_t stride,
                  bool add) {
  using part = panel_part<A>;
  using form = panel_form_of<A, Block>;
  constexpr std::size_t block_parts = Block::size / quantized_rows::block;
  constexpr std::size_t most_parts = 16;
  constexpr std::size_t most_rows = 288;
  constexpr std::size_t tile_rows = simd::lanes<A> == 16 && !form::has_steps ? 6 : 4;
  // Few rows wait for memory: with short slices it is never idle for long.
  const std::size_t slice_parts = rows <= 32 ? 4 : most_parts;
  const std::size_t slice = std::max<std::size_t>(slice_parts / block_parts, 1);  // blocks
  part parts[most_parts];
  alignas(64) float sums[most_rows * part::outputs];

  const std::size_t chunks = (rows + most_rows - 1) / most_rows;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t first = rows * chunk / chunks, count = rows * (chunk + 1) / chunks - first;
    std::fill_n(sums, count * part::outputs, 0.0f);
    for (std::size_t b = 0; b < blocks; b += slice) {
      const std::size_t now = std::min(slice, blocks - b);
      constexpr std::size_t together = Layout::together, stream = std::max(part::outputs, together);
      const std::size_t ahead = stream * blocks + (stream - together) * b;
      pack_panel<A>(layout, w + b * together, blocks, now, ahead * sizeof(Block), parts);
      const std::size_t tiles = (count + tile_rows - 1) / tile_rows;
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        const std::size_t row = count * tile / tiles;
        with_count<tile_rows>(count * (tile + 1) / tiles - row, [&]<std::size_t Rows>() {
          const panel_input in(x, blocks * block_parts, first + row, b * block_parts);
          panel_tile<A, form, Rows>(parts, now * block_parts, Block::bias, in,
                                    sums + row * part::outputs);
        });
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      float* const out = y + (first + row) * stride;
      const float* const sum = sums + row * part::outputs;
      for (std::size_t o = first_wanted; o < part::outputs; ++o)
        out[o] = add ? out[o] + sum[o] : sum[o];
    }
  }
}

/// All outputs of all rows, of which there is at least one panel.
template <class A, class Block>
void packed_panels(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t outputs, std::size_t stride, bool add) {
  constexpr std::size_t panel = panel_part<A>::outputs;
  for (std::size_t o = 0; o < outputs; o += panel) {
    const std::size_t from = std::min(o, outputs - panel);  // the last may overlap its neighbour
    packed_panel<A>(rows_apart{}, w + from * blocks, blocks, x, rows, y + from, o - from, stride,
                    add);
  }
}

/// The same of repacked weights, from the first row of a panel on.
template <class A, class Block>
void repacked_panels(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                     float* y, std::size_t outputs, std::size_t stride, bool add) {
  constexpr std::size_t panel = panel_part<A>::outputs;
  for (std::size_t o = 0; o < outputs; o += panel) {
    const std::size_t from = std::min(o, outputs - panel), in = from % panel_height;
    packed_panel<A>(rows_in_panels{in}, w + (from - in) * blocks, blocks, x, rows, y + from,
                    o - from, stride, add);
  }
}

/// As many outputs of few rows as make whole streams. Returns their number.
template <class A, class Block>
std::size_t packed_streams(const Block* w, std::size_t blocks, const quantized_rows& x,
                           std::size_t rows, float* y, std::size_t outputs, std::size_t stride,
                           bool add) {
  const std::size_t spread = outputs / row_streams<Block>;
  with_count<few_rows>(rows, [&]<std::size_t Count>() {
    for (std::size_t o = 0; o < spread; ++o)
      packed_rows<A, Count>(w + o * blocks, blocks, spread, x, y + o, stride, add);
  });
  return spread * row_streams<Block>;
}

#endif

/// For so many rows at most, codes in panels are taken anew for each eight.
inline constexpr std::size_t unpacked_rows = 32;

/// All outputs of all rows, of repacked weights: whole panels, and rows that are left over.
template <class A, class Block>
void repacked_product(const Block* w, std::size_t cols, const quantized_rows& x, std::size_t rows,
                      float* y, std::size_t outputs, std::size_t stride, bool add) {
  const std::size_t blocks = cols / Block::size, whole = outputs - outputs % panel_height;
  std::size_t o = 0;
#if defined(__AVX2__) && defined(__F16C__)
  if constexpr (simd::lanes<A> >= 8) {
    using arch = packed_arch<A>;
    if (rows > unpacked_rows && whole >= panel_part<arch>::outputs)
      repacked_panels<arch>(w, blocks, x, rows, y, whole, stride, add);
    else
      panel_product<arch>(w, blocks, x, rows, y, whole / panel_height, stride, add);
    o = whole;
  }
#endif
  for (; o < whole; ++o) {
    const Block* const panel = w + o / panel_height * panel_height * blocks;
    const auto block_at = [&](std::size_t b) {
      return block_in_panel(panel + b * panel_height, o % panel_height);
    };
    packed_output<Block>(block_at, cols, x, rows, y + o, stride, add);
  }
  for (; o < outputs; ++o) {
    const auto block_at = [&](std::size_t b) -> const Block& { return w[o * blocks + b]; };
    packed_output<Block>(block_at, cols, x, rows, y + o, stride, add);
  }
}

/// All outputs of all rows.
template <class A, class Block>
void packed_product(const Block* w, std::size_t cols, const quantized_rows& x, std::size_t rows,
                    float* y, std::size_t outputs, std::size_t stride, bool add) {
  const std::size_t blocks = cols / Block::size;
  std::size_t o = 0;
#if defined(__AVX2__) && defined(__F16C__)
  if constexpr (simd::lanes<A> >= 8) {
    using arch = packed_arch<A>;
    if (rows > few_rows && outputs >= panel_part<arch>::outputs)
      return packed_panels<arch>(w, blocks, x, rows, y, outputs, stride, add);
    if (rows <= few_rows) o = packed_streams<arch>(w, blocks, x, rows, y, outputs, stride, add);
  }
#endif
  for (; o < outputs; ++o) {
    const auto block_at = [&](std::size_t b) -> const Block& { return w[o * blocks + b]; };
    packed_output<Block>(block_at, cols, x, rows, y + o, stride, add);
  }
}

}  // namespace weir::detail
