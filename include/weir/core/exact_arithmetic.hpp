// Refuses compilers that may reorder or fuse arithmetic behind weir's back: then the same stream
// would give other bits in another chunk.
#pragma once

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error \
    "weir: compile without -ffast-math and its kin: results must not depend on how sums are grouped"
#endif

namespace weir::inline WEIR_TARGET {

/// a * b + c as this translation unit's flags compile it.
[[gnu::noinline]] inline float multiply_then_add(float a, float b, float c) { return a * b + c; }

/// Throws error::bad_config in a build that contracts a * b + c into one rounding. The weir::weir
/// CMake target carries -ffp-contract=off; builds without it must pass the flag themselves.
inline void require_exact_arithmetic() {
  const volatile float x = 0x1.001p0f, y = -0x1.002p0f;  // x² rounds to −y
  error::require<error::bad_config>(
      multiply_then_add(x, x, y) == 0.0f,
      "this build fuses multiplications with additions (expected -ffp-contract=off)");
}

}  // namespace weir::inline WEIR_TARGET
