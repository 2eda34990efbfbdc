// Merging states of the online softmax. FlashAttention, arXiv 2205.14135, section 3.1.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

/// into = into ⊕ from, over `n` elements of output. Associative up to rounding; callers merge
/// splits in rising order, which fixes the rounding too. Merging an empty state changes no bit.
/// O(n).
template <class A = simd::native>
void merge(attention_state& into, const attention_state& from, std::size_t n) {
  if (from.empty()) return;
  if (into.empty()) {
    into.m = from.m;
    into.d = from.d;
    for (std::size_t i = 0; i < n; ++i) into.o[i] = from.o[i];
    return;
  }
  const float m = into.m > from.m ? into.m : from.m;
  const float a = simd::exp(into.m - m), b = simd::exp(from.m - m);
  into.m = m;
  into.d = std::fma(from.d, b, into.d * a);
  const auto va = simd::broadcast<A>(a), vb = simd::broadcast<A>(b);
  for (std::size_t i = 0; i < n; i += simd::lanes<A>)
    simd::store<A>(into.o + i,
                   simd::fma<A>(simd::load<A>(from.o + i), vb, simd::load<A>(into.o + i) * va));
}

}  // namespace weir::inline WEIR_TARGET
