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

/// y[row, 0 … lanes<A> − 1] (+)= for the rows of `in`, Rows or one less, and a panel's rows from
/// `first` on. Meanwhile asks for weights `ahead` bytes further on.
template <class A, std::size_t Rows, class Block>
void panel_outputs(const Block* panel, std::size_t blocks, std::size_t first, std::size_t ahead,
                   const panel_input& in, float* y, std::size_t stride, bool add) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  using form = panel_form_of<A, Block>;
  constexpr std::size_t bytes = simd::lanes<A> * sizeof(Block);
  const auto each = [](const auto& f) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row) f(row);
  };
  const ints minus_bias(both_halves(-Block::bias));
  simd::floats<A> sum[Rows];
  each([&](std::size_t row) { sum[row] = simd::broadcast<A>(0.0f); });

  for (std::size_t b = 0; b < blocks; ++b, panel += panel_height) {
    const auto* const ask = reinterpret_cast<const std::byte*>(panel + first) + ahead;
    ints columns[8], exact[Rows];
    packed_columns<A, Block>().take(columns_in_panel<A>(panel, first), 0, 0, columns);
    each([&](std::size_t row) {
      if constexpr (form::has_bias)
        exact[row] =
            dots::dot_pairs(broadcast_four_bytes<A>(in.sums + in.at<Rows>(row, b) * 2), minus_bias);
      else
        exact[row] = ints(0);
    });
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) {
      prefetch_piece<bytes>(ask, k, 8);
      each([&](std::size_t row) {
        const ints four = broadcast_four_bytes<A>(
            in.quants + in.at<Rows>(row, b) * quantized_rows::block + 4 * k);
        if constexpr (form::is_signed)
          exact[row] = dots::dot_signed(exact[row], columns[k], four);
        else
          exact[row] = dots::dot(exact[row], columns[k], four);
      });
    }
    const eight_scales_of<Block> low{blocks_in_panel(panel, first)},
        high{blocks_in_panel(panel, first + simd::lanes<A> - 8)};
    const auto scale = join_halves<A>(low.scale(0), high.scale(0)),
               offset = join_halves<A>(low.offset(0), high.offset(0));
    each([&](std::size_t row) {
      const std::size_t at = in.at<Rows>(row, b);
      sum[row] = simd::fma<A>(xsimd::to_float(exact[row]),
                              scale * simd::broadcast<A>(in.scales[at]), sum[row]);
      if constexpr (form::has_offset)
        sum[row] = simd::fma<A>(offset, simd::broadcast<A>(in.totals[at]), sum[row]);
    });
  }
  each([&](std::size_t row) {
    if (row == in.rows) return;
    float* const out = y + row * stride;
    simd::store<A>(out, add ? simd::load<A>(out) + sum[row] : sum[row]);
  });
}

/// Rows of activations that a panel is multiplied with at once, at most.
inline constexpr std::size_t most_panel_rows = 8;

/// All rows of all outputs of whole panels.
template <class A, class Block>
void panel_product(const Block* w, std::size_t blocks, const quantized_rows& x, std::size_t rows,
                   float* y, std::size_t panels, std::size_t stride, bool add) {
  const std::size_t tiles = (rows + most_panel_rows - 1) / most_panel_rows;
  for (std::size_t p = 0; p < panels; ++p, w += panel_height * blocks, y += panel_height)
    for (std::size_t first = 0; first < panel_height; first += simd::lanes<A>)
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        const std::size_t row = rows * tile / tiles, count = rows * (tile + 1) / tiles - row;
        with_height<most_panel_rows>(count, [&]<std::size_t Rows>() {
          panel_outputs<A, Rows>(w, blocks, first, tile == 0 ? panel_ahead : 0,
                                 panel_input(x, blocks, row, count, 0), y + row * stride + first,
                                 stride, add);
        });
      }
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
