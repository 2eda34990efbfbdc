// What a norm is, bit for bit.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// out[i] = x[i] / sqrt(mean(x²) + epsilon) · weight[i] over `n` > 0 elements. Squares are added up
/// over 16 lanes, lane l taking i ≡ l (mod 16), i rising, one fused multiply-add each; then by
/// halving. Zhang & Sennrich, arXiv 1910.07467.
inline void rms_norm(const float* x, const float* weight, std::size_t n, float epsilon,
                     float* out) {
  float lane[16] = {};
  for (std::size_t i = 0; i < n; ++i) lane[i % 16] = std::fma(x[i], x[i], lane[i % 16]);
  const float mean = simd::sum_halving(lane, 16) / static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(mean + epsilon);
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

}  // namespace weir::inline WEIR_TARGET::reference
