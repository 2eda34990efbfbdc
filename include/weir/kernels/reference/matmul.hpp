// What a matrix product is, bit for bit. The fast kernels are tested against this one with ==.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/simd.hpp>

namespace weir::reference {

/// One output of float weights: lane l of 16 takes k ≡ l (mod 16), k rising, one fused
/// multiply-add each; the lanes are added up by halving.
template <class Weight>
float dot(const Weight* w, const float* x, std::size_t cols) {
  float lane[16] = {};
  for (std::size_t k = 0; k < cols; ++k)
    lane[k % 16] = std::fma(to_float(w[k]), x[k], lane[k % 16]);
  return simd::sum_halving(lane, 16);
}

/// One output of quantised weights and activations: an exact integer for each block, then one
/// fused multiply-add, blocks in rising order.
inline float dot(const q8_0_block* w, const std::int8_t* quants, const float* scales,
                 std::size_t cols) {
  float sum = 0;
  for (std::size_t b = 0; b < cols / q8_0_block::size; ++b) {
    std::int32_t exact = 0;
    for (std::size_t i = 0; i < q8_0_block::size; ++i)
      exact += std::int32_t{w[b].quants[i]} * quants[b * q8_0_block::size + i];
    sum = std::fma(static_cast<float>(exact), to_float(w[b].scale) * scales[b], sum);
  }
  return sum;
}

/// y[row, output] = Σ_k w[output, k] · x[row, k]. x is [rows, w.cols], y is [rows, w.rows].
/// `scratch` has room for one row where the weights are quantised.
inline void matmul(const matrix_view& w, const float* x, std::size_t rows, float* y,
                   const quantized_rows& scratch) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const in = x + row * w.cols;
    if (w.type == weight_type::q8_0) quantize_row(in, w.cols, 0, scratch);
    for (std::size_t output = 0; output < w.rows; ++output) {
      const std::byte* const weights = w.row(output);
      float& out = y[row * w.rows + output];
      switch (w.type) {
        case weight_type::f32:
          out = dot(reinterpret_cast<const float*>(weights), in, w.cols);
          break;
        case weight_type::f16:
          out = dot(reinterpret_cast<const f16*>(weights), in, w.cols);
          break;
        case weight_type::bf16:
          out = dot(reinterpret_cast<const bf16*>(weights), in, w.cols);
          break;
        case weight_type::q8_0:
          out = dot(reinterpret_cast<const q8_0_block*>(weights), scratch.quants.data(),
                    scratch.scales.data(), w.cols);
          break;
      }
    }
  }
}

}  // namespace weir::reference
