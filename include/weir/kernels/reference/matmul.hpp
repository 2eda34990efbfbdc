// What a matrix product is, bit for bit. The fast kernels are tested against this one with ==.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// One output of float weights: lane l of 16 takes k ≡ l (mod 16), k rising, one fused
/// multiply-add each; the lanes are added up by halving.
template <class Weight>
float dot(const Weight* w, const float* x, std::size_t cols) {
  float lane[16] = {};
  for (std::size_t k = 0; k < cols; ++k)
    lane[k % 16] = std::fma(to_float(w[k]), x[k], lane[k % 16]);
  return simd::sum_halving(lane, 16);
}

/// One output of quantised weights and activations: for each part of 32 an exact integer and one
/// fused multiply-add, then a second one where weights have an offset; parts in rising order.
template <class Block>
float dot(const Block* w, const std::int8_t* quants, const float* scales, const float* totals,
          std::size_t cols) {
  constexpr std::size_t parts = Block::size / quantized_rows::block;
  float sum = 0;
  for (std::size_t p = 0; p < cols / quantized_rows::block; ++p) {
    const weight_part part = part_of(w[p / parts], p % parts);
    const std::int32_t exact = weir::dot(part, quants + p * quantized_rows::block);
    sum = std::fma(static_cast<float>(exact), part.scale * scales[p], sum);
    if (part.has_offset) sum = std::fma(part.offset, totals[p], sum);
  }
  return sum;
}

/// y[row, output] = Σ_k w[output, k] · x[row, k]. x is [rows, w.cols], y is [rows, w.rows].
/// `scratch` has room for one row where the weights are quantised.
inline void matmul(const matrix_view& w, const float* x, std::size_t rows, float* y,
                   const quantized_rows& scratch) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const in = x + row * w.cols;
    if (is_quantized(w.type)) quantize_row(in, w.cols, 0, scratch);
    for (std::size_t output = 0; output < w.rows; ++output)
      y[row * w.rows + output] =
          with_element(w.type, [&]<class Element>(std::type_identity<Element>) {
            const auto* const weights = reinterpret_cast<const Element*>(w.row(output));
            if constexpr (weights_in<Element> == 1)
              return dot(weights, in, w.cols);
            else
              return dot(weights, scratch.quants.data(), scratch.scales.data(),
                         scratch.totals.data(), w.cols);
          });
  }
}

}  // namespace weir::inline WEIR_TARGET::reference
