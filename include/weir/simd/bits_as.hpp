// The bits of a register as numbers of another type. What xsimd's own function wants named is the
// batch in version 8, and the type of its elements in later ones.
#pragma once

#include <concepts>
#include <xsimd/xsimd.hpp>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::simd {

template <class To, class From, class A>
[[gnu::always_inline]] inline To bits_as(const xsimd::batch<From, A>& x) {
  if constexpr (requires {
                  { xsimd::bitwise_cast<To>(x) } -> std::same_as<To>;
                })
    return xsimd::bitwise_cast<To>(x);
  else
    return xsimd::bitwise_cast<typename To::value_type>(x);
}

}  // namespace weir::inline WEIR_TARGET::simd
