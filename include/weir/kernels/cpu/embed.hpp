// Rows of a weight matrix as f32: how tokens become embeddings.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/half.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/weight_parts.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

namespace detail {

/// The 32 weights of one part as numbers.
template <class Block>
void load_part(const Block& w, std::size_t part, float* out) {
  std::int8_t codes[32];
  unpack(w, part, codes);
  const float scale = scale_of(w, part);
  for (std::size_t i = 0; i < 32; ++i) {
    if constexpr (Block::steps == 2) {
      const std::int8_t step = w.step[2 * part + i / 16];
      out[i] = scale * static_cast<float>(codes[i] * step);
    } else if constexpr (Block::has_offset) {
      out[i] = std::fma(scale, static_cast<float>(codes[i]), offset_of(w, part));
    } else {
      out[i] = scale * static_cast<float>(codes[i]);
    }
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
      for (std::size_t p = 0; p < w.cols / 32; ++p)
        detail::load_part(weights[p / (Element::size / 32)], p % (Element::size / 32),
                          out + p * 32);
    }
  });
}

}  // namespace weir
