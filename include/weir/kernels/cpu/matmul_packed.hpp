// Matrix products with packed weights of 4 to 8 bits, one template for all of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_panel.hpp>
#include <weir/kernels/cpu/packed_row.hpp>
#include <weir/kernels/cpu/packed_tile.hpp>
#include <weir/kernels/cpu/panel_product.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::detail {

/// One output of all rows, for the outputs that are left over. `part_at(i)` is part i of its
/// weights.
inline void packed_output(function_ref<weight_part(std::size_t)> part_at, std::size_t parts,
                          const quantized_rows& x, std::size_t rows, float* y, std::size_t stride,
                          bool add) {
  constexpr std::size_t most = 8;
  for (std::size_t first = 0; first < rows; first += most) {
    const std::size_t count = std::min(most, rows - first);
    float sum[most] = {};
    for (std::size_t p = 0; p < parts; ++p) {
      const weight_part part = part_at(p);
      for (std::size_t row = 0; row < count; ++row) {
        const std::size_t at = (first + row) * parts + p;
        const std::int32_t exact = dot(part, &x.quants[at * weight_part::size]);
        sum[row] = std::fma(static_cast<float>(exact), part.scale * x.scales[at], sum[row]);
        if (part.has_offset) sum[row] = std::fma(part.offset, x.totals[at], sum[row]);
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      float& out = y[(first + row) * stride];
      out = add ? out + sum[row] : sum[row];
    }
  }
}

/// Outputs `o` … `outputs` − 1 of all rows, one by one.
template <class Block>
void packed_outputs(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                    float* y, std::size_t o, std::size_t outputs, std::size_t stride, bool add) {
  constexpr std::size_t parts = Block::size / weight_part::size;
  for (; o < outputs; ++o) {
    const auto part_at = [&](std::size_t p) {
      return part_of(w[o * blocks + p / parts], p % parts);
    };
    packed_output(part_at, blocks * parts, x, rows, y + o, stride, add);
  }
}

#if defined(__AVX2__) && defined(__F16C__)

/// Rows of activations that a panel is multiplied with at once, at most: what registers have room
/// for.
template <class A, class Form>
inline constexpr std::size_t tile_rows = simd::lanes<A> == 16 && !Form::has_steps ? 6 : 4;

/// Puts parts `first` … `first + n − 1` of one of a panel's groups into `out`.
template <class A>
using pack_group =
    function_ref<void(std::size_t group, std::size_t first, std::size_t n, panel_part<A>* out)>;

/// A panel's outputs of all rows; those from `first_wanted` on are written. Weights are unpacked in
/// slices that stay in cache while the rows pass over them, of whole blocks of `block_parts`; sums
/// wait in between.
template <class A, class Form>
void packed_panel(pack_group<A> pack, std::size_t block_parts, std::size_t parts, std::int32_t bias,
                  const quantized_rows& x, std::size_t rows, float* y, std::size_t first_wanted,
                  std::size_t stride, bool add) {
  constexpr std::size_t groups = panel_groups<A>, outputs = panel_width<A>;
  constexpr std::size_t max_parts = 16;
  constexpr std::size_t max_step_rows = 288;
  constexpr std::size_t max_together = tile_rows<A, Form>;
  // Few rows wait for memory: with short slices it is never idle for long.
  const std::size_t slice = rows <= 32 ? std::max<std::size_t>(4, block_parts) : max_parts;
  panel_part<A> slice_parts[groups * max_parts];
  alignas(64) float sums[max_step_rows * outputs];

  const std::size_t chunks = (rows + max_step_rows - 1) / max_step_rows;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    const std::size_t first = rows * chunk / chunks, count = rows * (chunk + 1) / chunks - first;
    std::fill_n(sums, count * outputs, 0.0f);
    for (std::size_t p = 0; p < parts; p += slice) {
      const std::size_t now = std::min(slice, parts - p);
      for (std::size_t g = 0; g < groups; ++g) pack(g, p, now, slice_parts + g * max_parts);
      const std::size_t tiles = (count + max_together - 1) / max_together;
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        const std::size_t row = count * tile / tiles, high = count * (tile + 1) / tiles - row;
        with_height<max_together>(high, [&]<std::size_t Rows>() {
          panel_tile<A, Form, Rows>(slice_parts, max_parts, now, bias,
                                    panel_input(x, parts, first + row, high, p),
                                    sums + row * outputs);
        });
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      float* const out = y + (first + row) * stride;
      const float* const sum = sums + row * outputs;
      for (std::size_t o = first_wanted; o < outputs; ++o) out[o] = add ? out[o] + sum[o] : sum[o];
    }
  }
}

/// All outputs of all rows, of which there is one panel at least. `pack(output, group, first, n,
/// out)` puts blocks `first` … `first + n − 1` of a group of the panel that begins with that output
/// into `out`.
template <class A, class Block, class Pack>
void packed_panels(const Pack& pack, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t outputs, std::size_t stride, bool add) {
  constexpr std::size_t block_parts = Block::size / quantized_rows::block;
  constexpr std::size_t panel = panel_width<A>;
  for (std::size_t o = 0; o < outputs; o += panel) {
    const std::size_t from = std::min(o, outputs - panel);  // the last may overlap its neighbour
    packed_panel<A, panel_form_of<A, Block>>(
        [&](std::size_t group, std::size_t first, std::size_t n, panel_part<A>* out) {
          pack(from, group, first / block_parts, n / block_parts, out);
        },
        block_parts, blocks * block_parts, Block::bias, x, rows, y + from, o - from, stride, add);
  }
}

/// Rows of weights that lie apart. Asked for is the panel behind, in one long stream, which memory
/// likes better than many short ones.
template <class A, class Block>
void panels_of_rows(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                    float* y, std::size_t outputs, std::size_t stride, bool add) {
  constexpr std::size_t lanes = simd::lanes<A>, panel = panel_width<A>;
  const auto pack = [&](std::size_t output, std::size_t group, std::size_t first, std::size_t n,
                        panel_part<A>* out) {
    const Block* const behind = w + (output + panel) * blocks;
    const Block* const ask = behind + panel * first + lanes * n * group;
    pack_panel<A>(rows_apart{}, w + (output + group * lanes) * blocks + first, blocks, n,
                  reinterpret_cast<const std::byte*>(ask), out);
  };
  packed_panels<A, Block>(pack, blocks, x, rows, y, outputs, stride, add);
}

/// Repacked weights.
template <class A, class Block>
void panels_of_panels(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                      float* y, std::size_t outputs, std::size_t stride, bool add) {
  const auto pack = [&](std::size_t output, std::size_t group, std::size_t first, std::size_t n,
                        panel_part<A>* out) {
    const std::size_t at = output + group * simd::lanes<A>, in = at % panel_height;
    const Block* const from = w + (at - in) * blocks + first * panel_height;
    const auto* const ask = reinterpret_cast<const std::byte*>(from + in) + panel_ahead;
    pack_panel<A>(rows_in_panel{in}, from, blocks, n, ask, out);
  };
  packed_panels<A, Block>(pack, blocks, x, rows, y, outputs, stride, add);
}

/// As many outputs of one row as make whole streams. Returns their number.
template <class A, class Block>
std::size_t packed_streams(const Block* w, std::size_t blocks, const quantized_rows& x, float* y,
                           std::size_t outputs, bool add) {
  const std::size_t spread = outputs / row_streams<Block>;
  for (std::size_t o = 0; o < spread; ++o)
    packed_row<A>(w + o * blocks, blocks, spread, x, y + o, add);
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
    if (rows > unpacked_rows && whole >= panel_width<arch>)
      panels_of_panels<arch>(w, blocks, x, rows, y, whole, stride, add);
    else
      panel_product<arch>(w, blocks, x, rows, y, whole / panel_height, stride, add);
    o = whole;
  }
#endif
  for (; o < whole; ++o) {
    const Block* const panel = w + o / panel_height * panel_height * blocks;
    const auto part_at = [&](std::size_t p) {  // a block is a part
      return part_of(block_in_panel(panel + p * panel_height, o % panel_height), 0);
    };
    packed_output(part_at, blocks, x, rows, y + o, stride, add);
  }
  packed_outputs(w, blocks, x, rows, y, o, outputs, stride, add);
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
    if (rows > 1 && outputs >= panel_width<arch>)
      return panels_of_rows<arch>(w, blocks, x, rows, y, outputs, stride, add);
    if (rows == 1) o = packed_streams<arch>(w, blocks, x, y, outputs, add);
  }
#endif
  packed_outputs(w, blocks, x, rows, y, o, outputs, stride, add);
}

}  // namespace weir::inline WEIR_TARGET::detail
