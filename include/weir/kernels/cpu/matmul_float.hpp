// Tiles of a matrix product with f32, f16 or bf16 weights: rows × outputs held in registers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <weir/core/arena.hpp>
#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::detail {

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
  /// 8, 4 or 2.
  static constexpr std::size_t max_step_rows() {
    std::size_t rows = 8;
    while (outputs(rows) == 0) rows /= 2;
    return rows;
  }
};

/// Where a product's numbers lie. Rows of y are `stride` apart; the outputs that a tile takes
/// together are `spread` apart.
template <class Weight>
struct float_place {
  const Weight* w;  ///< [output, cols]
  std::size_t cols;
  const float* x;  ///< [row, cols]
  float* y;        ///< [row, stride]
  std::size_t stride, spread;
  bool add;

  float_place at(std::size_t row, std::size_t output) const {
    return {
        w + output * cols, cols, x + row * cols, y + row * stride + output, stride, spread, add};
  }
};

/// Whole tiles are computed always. Written are rows and outputs from these on.
struct wanted_part {
  std::size_t row = 0, output = 0;
};

/// The end of a tile: sums over `k` numbers of each output lie in `sums`, [row][output][lane].
/// Not part of the tile, as there are many.
template <class A, class Weight>
[[gnu::noinline]] void finish_float_tile(float* sums, std::size_t rows, std::size_t outputs,
                                         std::size_t k, const float_place<Weight>& place,
                                         wanted_part wanted) {
  using tiles = float_tiles<A>;
  for (std::size_t row = wanted.row; row < rows; ++row)
    for (std::size_t o = wanted.output; o < outputs; ++o) {
      float* const lane = sums + (row * outputs + o) * tiles::virtual_lanes;
      // Lanes that have no k left stop; adding 0 · 0 instead could turn −0 into +0.
      for (std::size_t i = k; i < place.cols; ++i)
        lane[i - k] = std::fma(to_float(place.w[o * place.spread * place.cols + i]),
                               place.x[row * place.cols + i], lane[i - k]);
      simd::floats<A> sum[tiles::registers];
      for (std::size_t r = 0; r < tiles::registers; ++r)
        sum[r] = simd::load<A>(lane + r * simd::lanes<A>);
      const float value = simd::sum_halving<A, tiles::registers>(sum);
      float& out = place.y[row * place.stride + o * place.spread];
      out = place.add ? out + value : value;
    }
}

/// y[row, output] (+)= w[output, :] · x[row, :] for Rows × Outputs. `fresh` weights, and those of
/// the next tile, come from memory.
template <class A, std::size_t Rows, std::size_t Outputs, class Weight>
void float_tile(const float_place<Weight>& place, wanted_part wanted, bool fresh) {
  using tiles = float_tiles<A>;
  constexpr std::size_t step = tiles::virtual_lanes, lanes = simd::lanes<A>;
  const Weight* const w = place.w;
  const float* const x = place.x;
  const std::size_t cols = place.cols, spread = place.spread;
  simd::floats<A> sum[Rows][Outputs][tiles::registers];
  const auto each = [](const auto& f) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 8
      for (std::size_t o = 0; o < Outputs; ++o) f(row, o);
  };
  each([&](std::size_t row, std::size_t o) {
    for (auto& s : sum[row][o]) s = simd::broadcast<A>(0.0f);
  });

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

  alignas(64) float sums[Rows][Outputs][step];
  each([&](std::size_t row, std::size_t o) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < tiles::registers; ++r)
      simd::store<A>(&sums[row][o][r * lanes], sum[row][o][r]);
  });
  finish_float_tile<A>(&sums[0][0][0], Rows, Outputs, k, place, wanted);
}

/// All `outputs` outputs of Rows rows. What is left over is part of a tile that overlaps its
/// neighbour or, where there is none, repeats one output.
template <class A, std::size_t Rows, class Weight>
void float_rows(const float_place<Weight>& place, std::size_t outputs, std::size_t first_row,
                bool fresh) {
  constexpr std::size_t step = float_tiles<A>::outputs(Rows);
  const bool narrow = outputs < step;
  float_place<Weight> tile = place;
  tile.spread = narrow ? 0 : 1;
  for (std::size_t o = 0; o < outputs; o += narrow ? 1 : step) {
    const std::size_t from = narrow ? o : std::min(o, outputs - step);
    float_tile<A, Rows, step>(tile.at(0, from), {first_row, narrow ? step - 1 : o - from}, fresh);
  }
}

/// All outputs of one row, which waits for memory: a few long streams of weights, each going on
/// from one tile to the next, keep it busiest.
template <class A, class Weight>
void float_row(const float_place<Weight>& place, std::size_t outputs) {
  constexpr std::size_t streams = float_tiles<A>::outputs(1);
  float_place<Weight> tile = place;
  tile.spread = outputs / streams;
  for (std::size_t o = 0; o < tile.spread; ++o) float_tile<A, 1, streams>(tile.at(0, o), {}, true);
  std::size_t left = tile.spread * streams;
  tile.spread = 0;
  for (; left < outputs; ++left)
    float_tile<A, 1, streams>(tile.at(0, left), {0, streams - 1}, true);
}

/// All outputs of all rows: as many rows at a time as registers allow. Panels of weights stay in
/// cache while every row passes over them, so that memory is read once.
template <class A, class Weight>
void float_product(const float_place<Weight>& place, std::size_t rows, std::size_t outputs) {
  if (rows == 1) return float_row<A>(place, outputs);
  constexpr std::size_t panel_bytes = 128 << 10, most = float_tiles<A>::max_step_rows();
  const std::size_t fitting = panel_bytes / (std::max<std::size_t>(place.cols, 1) * sizeof(Weight));
  const std::size_t panel = std::max<std::size_t>(fitting / 24, 1) * 24;  // whole tiles
  for (std::size_t o = 0; o < outputs; o += panel) {
    const std::size_t count = std::min(panel, outputs - o);
    std::size_t row = 0;
    const auto take = [&]<std::size_t Rows>() {
      if constexpr (Rows <= most) {
        const std::size_t from = std::min(row, rows - Rows);  // may overlap those before
        float_rows<A, Rows>(place.at(from, o), count, row - from, row == 0);
        row = from + Rows;
      }
    };
    while (row < rows) {
      if (most >= 8 && rows >= 8 && rows - row > 4)
        take.template operator()<8>();
      else if (most >= 4 && rows >= 4 && rows - row > 2)
        take.template operator()<4>();
      else
        take.template operator()<2>();
    }
  }
}

}  // namespace weir::inline WEIR_TARGET::detail
