// Rows of a weight matrix as f32: how tokens become embeddings.
#pragma once

#include <cstddef>

#include <weir/core/half.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

/// out[i] = w[row, i] for all `w.cols`. Exact, save that a Q8_0 weight is rounded once. O(w.cols).
template <class Arch = simd::native>
void load_row(const matrix_view& w, std::size_t row, float* out) {
  const auto convert = [&]<class Weight>(const Weight* weights) {
    std::size_t i = 0;
    for (; i + simd::lanes<Arch> <= w.cols; i += simd::lanes<Arch>)
      simd::store<Arch>(out + i, simd::load<Arch>(weights + i));
    for (; i < w.cols; ++i) out[i] = to_float(weights[i]);
  };
  const std::byte* const data = w.row(row);
  switch (w.type) {
    case weight_type::f32:
      return convert(reinterpret_cast<const float*>(data));
    case weight_type::f16:
      return convert(reinterpret_cast<const f16*>(data));
    case weight_type::bf16:
      return convert(reinterpret_cast<const bf16*>(data));
    case weight_type::q8_0:
      for (std::size_t b = 0; b < w.cols / q8_0_block::size; ++b) {
        const auto& block = reinterpret_cast<const q8_0_block*>(data)[b];
        const float scale = to_float(block.scale);
        for (std::size_t i = 0; i < q8_0_block::size; ++i)
          out[b * q8_0_block::size + i] = scale * static_cast<float>(block.quants[i]);
      }
  }
}

}  // namespace weir
