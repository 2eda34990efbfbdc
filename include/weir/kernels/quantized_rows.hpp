// Activations rounded to 8 bits, so that products with quantised weights are exact integers.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/core/arena.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Working memory for matrix products with quantised weights: rows of activations in blocks of 32
/// that share a scale. Products with float weights leave it alone.
struct quantized_rows {
  static constexpr std::size_t block = 32;

  std::span<std::int8_t> quants;  ///< [row, cols], −127 … 127
  std::span<float> scales;        ///< [row, cols / 32]; a value is scale * quant
  std::span<std::int16_t> sums;   ///< [row, cols / 16]; the quants of each half block added up
  std::span<float> totals;        ///< [row, cols / 32]; scale * sum of a block, for offsets

  /// What it takes in an arena.
  struct layout {
    arena_plan::block<std::int8_t> quants;
    arena_plan::block<float> scales;
    arena_plan::block<std::int16_t> sums;
    arena_plan::block<float> totals;

    quantized_rows in(const arena& memory) const {
      return {memory[quants], memory[scales], memory[sums], memory[totals]};
    }
  };

  /// Room for `rows` rows of up to `cols` activations.
  static layout reserve(arena_plan& plan, std::size_t rows, std::size_t cols) {
    const std::size_t blocks = checked_product(rows, (cols + block - 1) / block);
    return {plan.reserve<std::int8_t>(blocks, block), plan.reserve<float>(blocks),
            plan.reserve<std::int16_t>(2, blocks), plan.reserve<float>(blocks)};
  }

  /// Throws unless `rows` rows of `cols` activations fit.
  void require_room(std::size_t rows, std::size_t cols) const {
    error::require<error::bad_input>(rows * cols <= quants.size(), "matrix product: scratch holds ",
                                     quants.size(), " quantised activations (expected ", rows,
                                     " rows of ", cols, ")");
  }
};

/// One block of 32 activations: scale = max|x| / 127, quants rounded to nearest, ties to even.
/// A block whose largest magnitude is below 2^-120 counts as zeros, so that 127 / max|x| stays
/// finite. A block that holds a NaN or an infinity gets the scale NaN, so that every output it
/// takes part in is NaN. `sums` are those of the two halves.
inline void quantize_block(const float* x, std::int8_t* quants, float& scale, std::int16_t* sums) {
  constexpr std::uint32_t infinity = 0x7F800000u;
  constexpr float rounder = 0x1.8p+23f;  // adding it leaves the integer in the low bits
  // Magnitudes compare like their bits, with NaN above infinity.
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < quantized_rows::block; ++i)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFu);
  const float magnitude = std::bit_cast<float>(largest);
  sums[0] = sums[1] = 0;
  if (largest >= infinity || magnitude < 0x1p-120f) {
    scale = largest >= infinity ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
    for (std::size_t i = 0; i < quantized_rows::block; ++i) quants[i] = 0;
    return;
  }
  scale = magnitude / 127.0f;
  const float inverse = 127.0f / magnitude;
  for (std::size_t half = 0; half < 2; ++half) {
    std::int32_t sum = 0;
    for (std::size_t i = 16 * half; i < 16 * half + 16; ++i) {
      const float shifted = std::fma(x[i], inverse, rounder);
      const auto quant = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) -
                                                   std::bit_cast<std::uint32_t>(rounder));
      quants[i] = static_cast<std::int8_t>(quant);
      sum += quant;
    }
    sums[half] = static_cast<std::int16_t>(sum);
  }
}

/// Quantises `x[cols]` as row `row` of `out`. cols is a multiple of 32. O(cols).
inline void quantize_row(const float* x, std::size_t cols, std::size_t row,
                         const quantized_rows& out) {
  const std::size_t blocks = cols / quantized_rows::block;
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::size_t at = row * blocks + b;
    std::int16_t* const sums = &out.sums[2 * at];
    quantize_block(x + b * quantized_rows::block, &out.quants[at * quantized_rows::block],
                   out.scales[at], sums);
    out.totals[at] = out.scales[at] * static_cast<float>(sums[0] + sums[1]);
  }
}

}  // namespace weir::inline WEIR_TARGET
