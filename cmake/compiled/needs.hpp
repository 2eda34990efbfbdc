// What a processor must have for code that was compiled for an instruction set.
#pragma once

#include <cstdint>

namespace weir_compiled {

/// A bit for each thing that compilers or kernels may use beyond what every x86-64 or every 64-bit
/// ARM has.
enum need : std::uint64_t {
  avx = 1,
  avx2 = 1 << 1,
  fma = 1 << 2,
  f16c = 1 << 3,
  bmi2 = 1 << 4,
  avx512 = 1 << 5,  ///< F, BW, CD, DQ and VL
  avx512_vnni = 1 << 6,
  avx512_vbmi = 1 << 7,  ///< VBMI, VBMI2, BITALG and VPOPCNTDQ
  avx512_fp16 = 1 << 8,
  avx_vnni = 1 << 9,
  gfni = 1 << 10,
  sse4 = 1 << 11,  ///< up to SSE4.2, and POPCNT
  dot_products = 1 << 12,
  int8_products = 1 << 13,
  sve = 1 << 14,
};

/// What code of this translation unit needs.
inline constexpr std::uint64_t needed_here = 0
#if defined(__SSE4_1__)
                                             | sse4
#endif
#if defined(__AVX__)
                                             | avx
#endif
#if defined(__AVX2__)
                                             | avx2
#endif
#if defined(__FMA__)
                                             | fma
#endif
#if defined(__F16C__)
                                             | f16c
#endif
#if defined(__BMI2__)
                                             | bmi2
#endif
#if defined(__AVX512F__)
                                             | avx512
#endif
#if defined(__AVX512VNNI__)
                                             | avx512_vnni
#endif
#if defined(__AVX512VBMI__) || defined(__AVX512VBMI2__) || defined(__AVX512BITALG__)
                                             | avx512_vbmi
#endif
#if defined(__AVX512FP16__)
                                             | avx512_fp16
#endif
#if defined(__AVXVNNI__)
                                             | avx_vnni
#endif
#if defined(__GFNI__)
                                             | gfni
#endif
#if defined(__ARM_FEATURE_DOTPROD)
                                             | dot_products
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
                                             | int8_products
#endif
#if defined(__ARM_FEATURE_SVE)
                                             | sve
#endif
    ;

}  // namespace weir_compiled
