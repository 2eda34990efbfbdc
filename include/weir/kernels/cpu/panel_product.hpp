// Products with repacked weights: a panel's blocks go from memory into multiplications, for up to
// eight rows of activations at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/cpu/packed_columns.hpp>
#include <weir/kernels/cpu/packed_panel.hpp>
#include <weir/kernels/cpu/packed_tile.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

/// Two halves of a register; the first alone where it is a whole one.
template <class A>
simd::floats<A> join_halves(__m256 low, [[maybe_unused]] __m256 high) {
#if defined(__AVX512F__)
  if constexpr (simd::lanes<A> == 16) {
    const __m512d both = _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(low)),
                                            _mm256_castps_pd(high), 1);
    return _mm512_castpd_ps(both);
  } else
#endif
    return low;
}

/// How far ahead of what is multiplied weights are asked for, in bytes.
inline constexpr std::size_t panel_ahead = 8192;

/// Registers of outputs in a panel.
template <class A>
inline constexpr std::size_t height_registers = panel_height / simd::lanes<A>;

/// y[row, 0 … panel_height − 1] (+)= for the rows of `in`, Rows or one less, and a panel's rows.
/// Meanwhile asks for weights `ahead` bytes further on. A block's cache lines hold all rows of the
/// panel: they are done with before the next block's are read.
template <class A, std::size_t Rows, class Block>
void panel_outputs(const Block* panel, std::size_t blocks, std::size_t ahead, const panel_input& in,
                   float* y, std::size_t stride, bool add) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  using form = panel_form_of<A, Block>;
  constexpr std::size_t lanes = simd::lanes<A>, groups = height_registers<A>;
  const auto each = [](const auto& f) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row) f(row);
  };
  const ints minus_bias(both_halves(-Block::bias));
  simd::floats<A> sum[groups][Rows];
  for (auto& group : sum) each([&](std::size_t row) { group[row] = simd::broadcast<A>(0.0f); });

  for (std::size_t b = 0; b < blocks; ++b, panel += panel_height) {
    const auto* const ask = reinterpret_cast<const std::byte*>(panel) + ahead;
#pragma GCC unroll 2
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t first = g * lanes;
      ints columns[8], exact[Rows][1];
      packed_columns<A, Block>().take(columns_in_panel<A>(panel, first), 0, 0, columns);
      each([&](std::size_t row) {
        if constexpr (form::has_bias)
          exact[row][0] = dots::dot_pairs(
              broadcast_four_bytes<A>(in.sums + in.at<Rows>(row, b) * 2), minus_bias);
        else
          exact[row][0] = ints(0);
      });
      const auto four = [&](std::size_t row, std::size_t k) {
        return broadcast_four_bytes<A>(in.quants + in.at<Rows>(row, b) * quantized_rows::block +
                                       4 * k);
      };
      add_dots<A, form, 0, 8>(
          exact, [&](std::size_t, std::size_t k) { return columns[k]; }, four,
          [&](std::size_t k) {
            prefetch_piece<panel_height * sizeof(Block)>(ask, 8 * g + k, 8 * groups);
          });
      const eight_scales_of<Block> low{blocks_in_panel(panel, first)},
          high{blocks_in_panel(panel, first + lanes - 8)};
      const auto scale = join_halves<A>(low.scale(0), high.scale(0)),
                 offset = join_halves<A>(low.offset(0), high.offset(0));
      each([&](std::size_t row) {
        const std::size_t at = in.at<Rows>(row, b);
        simd::floats<A>& to = sum[g][row];
        to = simd::fma<A>(xsimd::to_float(exact[row][0]), scale * simd::broadcast<A>(in.scales[at]),
                          to);
        if constexpr (form::has_offset)
          to = simd::fma<A>(offset, simd::broadcast<A>(in.totals[at]), to);
      });
    }
  }
  each([&](std::size_t row) {
    if (row == in.rows) return;
    for (std::size_t g = 0; g < groups; ++g) {
      float* const out = y + row * stride + g * lanes;
      simd::store<A>(out, add ? simd::load<A>(out) + sum[g][row] : sum[g][row]);
    }
  });
}

/// Rows of activations that a panel is multiplied with at once, at most.
template <class A>
inline constexpr std::size_t max_panel_rows = height_registers<A> == 1 ? 8 : 4;

/// All rows of all outputs of whole panels.
template <class A, class Block>
void panel_product(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t panels, std::size_t stride, bool add) {
  constexpr std::size_t most = max_panel_rows<A>;
  const std::size_t tiles = (rows + most - 1) / most;
  for (std::size_t p = 0; p < panels; ++p, w += panel_height * blocks, y += panel_height)
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const std::size_t row = rows * tile / tiles, count = rows * (tile + 1) / tiles - row;
      with_height<most>(count, [&]<std::size_t Rows>() {
        panel_outputs<A, Rows>(w, blocks, tile == 0 ? panel_ahead : 0,
                               panel_input(x, blocks, row, count, 0), y + row * stride, stride,
                               add);
      });
    }
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
