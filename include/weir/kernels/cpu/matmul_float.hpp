// Tiles of a matrix product with f32, f16 or bf16 weights: rows × outputs held in registers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <weir/core/arena.hpp>
#include <weir/core/half.hpp>
#include <weir/simd/simd.hpp>

namespace weir::detail {

/// How much of a product fits into the registers of `A`. Block sizes decide speed, never bits.
template <class A>
struct float_tiles {
  static constexpr std::size_t virtual_lanes = 16;
  static constexpr std::size_t registers = virtual_lanes / simd::lanes<A>;  ///< for one sum
#if defined(__aarch64__)
  static constexpr std::size_t sums = 24;
#else
  static constexpr std::size_t sums = simd::lanes<A> == 16 ? 24 : 12;
#endif
  static constexpr std::size_t outputs(std::size_t rows) {
    return std::min<std::size_t>(4, sums / (rows * registers));
  }
  /// One row waits for memory, which few and long streams of weights keep busiest.
  template <class Weight>
  static constexpr std::size_t streams = std::min<std::size_t>(sizeof(Weight), sums / registers);
  static constexpr std::size_t most_rows() {
    std::size_t rows = 8;
    while (outputs(rows) == 0) rows /= 2;
    return rows;
  }
};

/// y[row, output] (+)= w[output, :] · x[row, :] for Rows × Outputs. Rows of y are `stride` apart,
/// outputs `spread`. `fresh` weights, and those of the next tile, come from memory.
template <class A, std::size_t Rows, std::size_t Outputs, class Weight>
void float_tile(const Weight* w, std::size_t cols, const float* x, float* y, std::size_t stride,
                std::size_t spread, bool add, bool fresh) {
  using tiles = float_tiles<A>;
  constexpr std::size_t step = tiles::virtual_lanes, lanes = simd::lanes<A>;
  simd::floats<A> sum[Rows][Outputs][tiles::registers];
#pragma GCC unroll 8
  for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 8
    for (std::size_t o = 0; o < Outputs; ++o)
#pragma GCC unroll 8
      for (std::size_t r = 0; r < tiles::registers; ++r) sum[row][o][r] = simd::broadcast<A>(0.0f);

  std::size_t k = 0;
  for (; k + step <= cols; k += step) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < tiles::registers; ++r) {
      const std::size_t at = k + r * lanes;
      simd::floats<A> weight[Outputs];
#pragma GCC unroll 8
      for (std::size_t o = 0; o < Outputs; ++o) {
        const Weight* const p = w + o * spread * cols + at;
        weight[o] = simd::load<A>(p);
        // A few streams, each short: the processor's own prefetching comes too late for them.
        if (Rows > 1 && fresh && at * sizeof(Weight) % cache_line == 0)
          simd::prefetch(p, Outputs * cols * sizeof(Weight));
      }
#pragma GCC unroll 8
      for (std::size_t row = 0; row < Rows; ++row) {
        const simd::floats<A> in = simd::in_register<A>(simd::load<A>(x + row * cols + at));
#pragma GCC unroll 8
        for (std::size_t o = 0; o < Outputs; ++o)
          sum[row][o][r] = simd::fma<A>(weight[o], in, sum[row][o][r]);
      }
    }
  }

#pragma GCC unroll 8
  for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 8
    for (std::size_t o = 0; o < Outputs; ++o) {
      float& out = y[row * stride + o * spread];
      float value;
      if (k == cols) {
        value = simd::sum_halving<A, tiles::registers>(sum[row][o]);
      } else {  // lanes that have no k left stop; adding 0 · 0 instead could turn −0 into +0
        alignas(64) float lane[step];
        for (std::size_t r = 0; r < tiles::registers; ++r)
          simd::store<A>(lane + r * lanes, sum[row][o][r]);
        for (std::size_t i = k; i < cols; ++i)
          lane[i - k] =
              std::fma(to_float(w[o * spread * cols + i]), x[row * cols + i], lane[i - k]);
        value = simd::sum_halving(lane, step);
      }
      out = add ? out + value : value;
    }
}

/// All `outputs` outputs of Rows rows.
template <class A, std::size_t Rows, class Weight>
void float_rows(const Weight* w, std::size_t cols, const float* x, float* y, std::size_t outputs,
                std::size_t stride, bool add, bool fresh) {
  constexpr std::size_t step = float_tiles<A>::outputs(Rows);
  std::size_t o = 0;
  for (; o + step <= outputs; o += step)
    float_tile<A, Rows, step>(w + o * cols, cols, x, y + o, stride, 1, add, fresh);
  if constexpr (step > 1)
    for (; o < outputs; ++o)
      float_tile<A, Rows, 1>(w + o * cols, cols, x, y + o, stride, 1, add, fresh);
}

/// All outputs of one row. A stream of weights goes on from one tile to the next.
template <class A, class Weight>
void float_row(const Weight* w, std::size_t cols, const float* x, float* y, std::size_t outputs,
               bool add) {
  constexpr std::size_t streams = float_tiles<A>::template streams<Weight>;
  const std::size_t spread = outputs / streams;
  for (std::size_t o = 0; o < spread; ++o)
    float_tile<A, 1, streams>(w + o * cols, cols, x, y + o, 0, spread, add, true);
  for (std::size_t o = spread * streams; o < outputs; ++o)
    float_tile<A, 1, 1>(w + o * cols, cols, x, y + o, 0, 1, add, true);
}

/// All outputs of all rows: as many rows at a time as registers allow. Panels of weights stay in
/// cache while every row passes over them, so that memory is read once.
template <class A, class Weight>
void float_product(const Weight* w, std::size_t cols, const float* x, std::size_t rows, float* y,
                   std::size_t outputs, std::size_t stride, bool add) {
  if (rows == 1) return float_row<A>(w, cols, x, y, outputs, add);
  constexpr std::size_t panel_bytes = 128 << 10, most = float_tiles<A>::most_rows();
  const std::size_t fitting = panel_bytes / (std::max<std::size_t>(cols, 1) * sizeof(Weight));
  const std::size_t panel = std::max<std::size_t>(fitting / 24, 1) * 24;  // whole tiles
  for (std::size_t o = 0; o < outputs; o += panel) {
    const std::size_t count = std::min(panel, outputs - o);
    std::size_t row = 0;
    const auto take = [&]<std::size_t Rows>() {
      if constexpr (Rows <= most)
        for (; row + Rows <= rows; row += Rows)
          float_rows<A, Rows>(w + o * cols, cols, x + row * cols, y + row * stride + o, count,
                              stride, add, row == 0);
    };
    take.template operator()<8>();
    take.template operator()<4>();
    take.template operator()<3>();
    take.template operator()<2>();
    take.template operator()<1>();
  }
}

}  // namespace weir::detail
