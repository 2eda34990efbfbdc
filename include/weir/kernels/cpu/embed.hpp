// Rows of a weight matrix as f32: how tokens become embeddings.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

/// The weights of one part as numbers.
inline void load_part(const weight_part& w, float* out) {
  for (std::size_t i = 0; i < weight_part::size; ++i) {
    const auto code = static_cast<float>(w.codes[i] * w.step[i / 16]);
    out[i] = w.has_offset ? std::fma(w.scale, code, w.offset) : w.scale * code;
  }
}

}  // namespace detail

/// out[i] = w[row, i] for all `w.cols`. Exact, save that a quantised weight is rounded once.
/// O(w.cols).
template <class Arch = simd::native>
void load_row(const matrix_view& w, std::size_t row, float* out) {
  with_element(w.type, [&]<class Element>(std::type_identity<Element>) {
    const auto* const weights = reinterpret_cast<const Element*>(w.row(row));
    if constexpr (weights_in<Element> == 1) {
      std::size_t i = 0;
      for (; i + simd::lanes<Arch> <= w.cols; i += simd::lanes<Arch>)
        simd::store<Arch>(out + i, simd::load<Arch>(weights + i));
      for (; i < w.cols; ++i) out[i] = to_float(weights[i]);
    } else {
      constexpr std::size_t parts = Element::size / weight_part::size;
      for (std::size_t p = 0; p < w.cols / weight_part::size; ++p)
        detail::load_part(part_of(weights[p / parts], p % parts), out + p * weight_part::size);
    }
  });
}

}  // namespace weir::inline WEIR_TARGET
