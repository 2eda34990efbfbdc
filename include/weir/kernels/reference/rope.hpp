// Rotation written to be read: it defines, bit for bit, what the fast kernel computes.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// out = scale · R(p) in over one head `[head_dim]`, with the factors of p `[dims]`. `in` must not
/// be `out`.
inline void rotate(const rope_shape& shape, const float* in, float* out, std::size_t head_dim,
                   const float* cos, const float* sin, float scale = 1.0f) {
  for (std::size_t i = 0; i < shape.dims / 2; ++i) {
    const auto [a, b] = shape.elements(i);
    out[a] = std::fma(in[a], cos[a], in[b] * sin[a]) * scale;
    out[b] = std::fma(in[b], cos[b], in[a] * sin[b]) * scale;
  }
  for (std::size_t e = shape.dims; e < head_dim; ++e) out[e] = in[e] * scale;
}

}  // namespace weir::inline WEIR_TARGET::reference
