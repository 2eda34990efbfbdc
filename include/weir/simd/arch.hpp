// SIMD architectures: which instructions a kernel is made of. xsimd names them.
#pragma once

#include <weir/core/target.hpp>

#if !defined(WEIR_COMPILED)
// Later versions of xsimd want this first.
#if __has_include(<xsimd/config/xsimd_inline.hpp>)
#include <xsimd/config/xsimd_inline.hpp>
#endif
#include <xsimd/config/xsimd_arch.hpp>
#endif

namespace weir::inline WEIR_TARGET::simd {

#if defined(WEIR_COMPILED)
/// The best architecture of those that weir::compiled was built for and that the processor has:
/// picked once, when the program runs.
struct dispatched {};

/// What caches and models use unless they are told otherwise.
using preferred = dispatched;
#else
/// What caches and models use unless they are told otherwise: the best architecture that the
/// compiler's flags allow.
using preferred = xsimd::default_arch;
#endif

}  // namespace weir::inline WEIR_TARGET::simd
