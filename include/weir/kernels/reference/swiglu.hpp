// What the gate of a feed-forward layer is, bit for bit.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET::reference {

/// out[i] = gate / (1 + exp(−gate)) · up: SiLU of the gate times the other branch. Shazeer, arXiv
/// 2002.05202. `simd::exp` stops growing at 88, so that a gate of −∞ gives ∓∞ · up, not 0.
inline void swiglu(const float* gate, const float* up, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + simd::exp(-gate[i])) * up[i];
}

}  // namespace weir::inline WEIR_TARGET::reference
