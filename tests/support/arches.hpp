// The SIMD architectures that this build can run, for TEMPLATE_TEST_CASE.
#pragma once

#include <weir/simd/simd.hpp>

namespace weir_test {

// A name of one word for each; where an architecture is missing, it stands for the native one.
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

}  // namespace weir_test
