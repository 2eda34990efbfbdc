// The SIMD architectures that this build can run.
#pragma once

#include <weir/simd/simd.hpp>

namespace weir_test {

// For TEMPLATE_TEST_CASE, a name of one word for each; where an architecture is missing, it stands
// for the native one.
using native = weir::simd::native;
#if XSIMD_WITH_FMA3_AVX2
using avx2 = xsimd::fma3<xsimd::avx2>;
#else
using avx2 = native;
#endif
#if XSIMD_WITH_SSE2
using sse2 = xsimd::sse2;
#else
using sse2 = native;
#endif

/// `use.operator()<A>()` for the native architecture and for those below it that there are.
template <class Use>
void for_each_arch(Use use) {
  use.template operator()<native>();
#if XSIMD_WITH_AVX2
  use.template operator()<xsimd::avx2>();
#endif
#if XSIMD_WITH_SSE2
  use.template operator()<xsimd::sse2>();
#endif
}

}  // namespace weir_test
