// Rotation of one head's elements, in registers. Bits are those of reference/rope.hpp.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

namespace detail {

/// Partners lie side by side.
template <class A>
inline void rotate_interleaved(std::size_t dims, const float* in, float* out, const float* cos,
                               const float* sin, float scale) {
  constexpr std::size_t w = simd::lanes<A>;
  std::size_t e = 0;
  for (; e + w <= dims; e += w) {
    const auto x = simd::load<A>(in + e);
    const auto turned = simd::swap_neighbours<A>(x) * simd::load<A>(sin + e);
    simd::store<A>(out + e,
                   simd::fma<A>(x, simd::load<A>(cos + e), turned) * simd::broadcast<A>(scale));
  }
  for (; e < dims; e += 2) {
    const float x = in[e], y = in[e + 1];
    out[e] = std::fma(x, cos[e], y * sin[e]) * scale;
    out[e + 1] = std::fma(y, cos[e + 1], x * sin[e + 1]) * scale;
  }
}

/// Partners lie half the dims apart.
template <class A>
inline void rotate_halves(std::size_t dims, const float* in, float* out, const float* cos,
                          const float* sin, float scale) {
  constexpr std::size_t w = simd::lanes<A>;
  const std::size_t half = dims / 2;
  std::size_t e = 0;
  for (; e + w <= half; e += w) {
    const std::size_t f = e + half;
    const auto x = simd::load<A>(in + e), y = simd::load<A>(in + f);
    const auto s = simd::broadcast<A>(scale);
    simd::store<A>(out + e,
                   simd::fma<A>(x, simd::load<A>(cos + e), y * simd::load<A>(sin + e)) * s);
    simd::store<A>(out + f,
                   simd::fma<A>(y, simd::load<A>(cos + f), x * simd::load<A>(sin + f)) * s);
  }
  for (; e < half; ++e) {
    const float x = in[e], y = in[e + half];
    out[e] = std::fma(x, cos[e], y * sin[e]) * scale;
    out[e + half] = std::fma(y, cos[e + half], x * sin[e + half]) * scale;
  }
}

}  // namespace detail

/// out = scale · R(p) in over one head `[head_dim]`, with the factors of p `[dims]`. `in` may be
/// `out`. O(head_dim).
template <class A = simd::native>
void rotate(const rope_shape& shape, const float* in, float* out, std::size_t head_dim,
            const float* cos, const float* sin, float scale = 1.0f) {
  if (shape.pairing == rope_pairing::interleaved)
    detail::rotate_interleaved<A>(shape.dims, in, out, cos, sin, scale);
  else
    detail::rotate_halves<A>(shape.dims, in, out, cos, sin, scale);
  for (std::size_t e = shape.dims; e < head_dim; ++e) out[e] = in[e] * scale;
}

}  // namespace weir::inline WEIR_TARGET::cpu
