// The gate of a feed-forward layer. Defined bit by bit by kernels/reference/swiglu.hpp.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

/// out[i] = gate[i] / (1 + exp(−gate[i])) · up[i]; `out` may be `gate` or `up`. O(n).
template <class Arch = simd::native>
void swiglu(const float* gate, const float* up, std::size_t n, float* out, executor& threads) {
  constexpr std::size_t lanes = simd::lanes<Arch>;
  // An exp costs about 16 multiply-adds. Ranges in whole cache lines, so that threads share none.
  constexpr std::size_t unit = 16;
  threads.for_range((n + unit - 1) / unit, n * 16, [&](std::size_t first, std::size_t last) {
    std::size_t i = first * unit;
    const std::size_t end = last * unit < n ? last * unit : n;
    const auto one = simd::broadcast<Arch>(1.0f);
    for (; i + lanes <= end; i += lanes) {
      const simd::floats<Arch> g = simd::load<Arch>(gate + i);
      simd::store<Arch>(
          out + i, simd::divide<Arch>(g, one + simd::exp<Arch>(-g)) * simd::load<Arch>(up + i));
    }
    for (; i < end; ++i) out[i] = gate[i] / (1.0f + simd::exp(-gate[i])) * up[i];
  });
}

}  // namespace weir::inline WEIR_TARGET
