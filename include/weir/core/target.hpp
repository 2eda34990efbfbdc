// What a translation unit is compiled for, as a name: all of weir lies in the inline namespace
// weir::WEIR_TARGET, say weir::for_avx2.
//
// The linker keeps one of several inline functions of one name. If those of weir had the same names
// wherever they are compiled, a program made of objects for different instruction sets might
// execute AVX on a machine without it. So they have different names, and whoever hands a type of
// weir from one such object to another learns it from the linker: `undefined reference to
// use(weir::for_avx2::llama_model&)` says that a part of the program was compiled for AVX2 and
// another was not. Compile all parts with the same -march, or link weir::compiled, which picks
// instruction sets at run time.
#pragma once

// Who cannot compile weir is told so, here and (weir/weir.hpp looks at WEIR_REFUSED) nothing else.
#if defined(__clang__) ? __clang_major__ < 13 : defined(__GNUC__) && __GNUC__ < 11
#define WEIR_REFUSED
#error "weir needs g++ 11 or clang 13, or newer: compile with another one, say g++-12"
#elif __cplusplus < 202002L
#define WEIR_REFUSED
#error "weir is C++20: compile with -std=c++20 or later"
#endif

// The levels of the x86-64 psABI have a name each.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && \
    defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__FMA__)
#define WEIR_TARGET_LEVEL for_avx512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && defined(__BMI2__)
#define WEIR_TARGET_LEVEL for_avx2
#elif defined(__SSE4_2__) && defined(__POPCNT__)
#define WEIR_TARGET_LEVEL for_sse4
#elif defined(__SSE2__)
#define WEIR_TARGET_LEVEL for_sse2
#elif defined(__aarch64__)
#define WEIR_TARGET_LEVEL for_neon
#else
#define WEIR_TARGET_LEVEL for_any
#endif

// What compilers or kernels use beside a level is appended: of a higher level, by its name; of what
// levels do not name, as capital letters.
#if defined(__SSSE3__) && !defined(__SSE4_2__)
#define WEIR_TARGET_SSSE3 _ssse3
#else
#define WEIR_TARGET_SSSE3
#endif
#if defined(__AVX__) && !defined(__AVX2__)
#define WEIR_TARGET_AVX _avx
#else
#define WEIR_TARGET_AVX
#endif
#if defined(__AVX2__) && !(defined(__FMA__) && defined(__F16C__) && defined(__BMI2__))
#define WEIR_TARGET_AVX2 _avx2
#else
#define WEIR_TARGET_AVX2
#endif
#if defined(__AVX512F__) && !(defined(__AVX512BW__) && defined(__AVX512CD__) && \
                              defined(__AVX512DQ__) && defined(__AVX512VL__))
#define WEIR_TARGET_AVX512F _avx512f
#else
#define WEIR_TARGET_AVX512F
#endif
#if defined(__FMA__) && !defined(__AVX2__)
#define WEIR_TARGET_FMA _fma
#else
#define WEIR_TARGET_FMA
#endif
#if defined(__AVX512VNNI__)
#define WEIR_TARGET_VNNI D
#else
#define WEIR_TARGET_VNNI
#endif
#if defined(__AVX512VBMI__) || defined(__AVX512VBMI2__) || defined(__AVX512BITALG__)
#define WEIR_TARGET_VBMI B
#else
#define WEIR_TARGET_VBMI
#endif
#if defined(__AVXVNNI__)
#define WEIR_TARGET_AVXVNNI V
#else
#define WEIR_TARGET_AVXVNNI
#endif
#if defined(__GFNI__)
#define WEIR_TARGET_GFNI G
#else
#define WEIR_TARGET_GFNI
#endif
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define WEIR_TARGET_FP16 H
#else
#define WEIR_TARGET_FP16
#endif
#if defined(__ARM_FEATURE_ATOMICS)
#define WEIR_TARGET_LSE A
#else
#define WEIR_TARGET_LSE
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#define WEIR_TARGET_DOTPROD D
#else
#define WEIR_TARGET_DOTPROD
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
#define WEIR_TARGET_I8MM I
#else
#define WEIR_TARGET_I8MM
#endif
#if defined(__ARM_FEATURE_SVE)
#define WEIR_TARGET_SVE S
#else
#define WEIR_TARGET_SVE
#endif
// Calls of kernels go through tables where weir::compiled holds the kernels.
#if defined(WEIR_COMPILED)
#define WEIR_TARGET_KERNELS _compiled
#else
#define WEIR_TARGET_KERNELS
#endif
// Where errors cannot be thrown they end the program, and the code of whoever finds one differs.
#if defined(__cpp_exceptions)
#define WEIR_TARGET_ERRORS
#else
#define WEIR_TARGET_ERRORS _without_exceptions
#endif

#define WEIR_TARGET_JOIN(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q) \
  a##b##c##d##e##f##g##h##i##j##k##l##m##n##o##p##q
#define WEIR_TARGET_NAME(...) WEIR_TARGET_JOIN(__VA_ARGS__)
#define WEIR_TARGET                                                                             \
  WEIR_TARGET_NAME(WEIR_TARGET_LEVEL, WEIR_TARGET_SSSE3, WEIR_TARGET_AVX, WEIR_TARGET_AVX2,     \
                   WEIR_TARGET_AVX512F, WEIR_TARGET_FMA, WEIR_TARGET_VNNI, WEIR_TARGET_VBMI,    \
                   WEIR_TARGET_AVXVNNI, WEIR_TARGET_GFNI, WEIR_TARGET_FP16, WEIR_TARGET_LSE,    \
                   WEIR_TARGET_DOTPROD, WEIR_TARGET_I8MM, WEIR_TARGET_SVE, WEIR_TARGET_KERNELS, \
                   WEIR_TARGET_ERRORS)

// weir::compiled also holds the bodies of what is no template, and instances of what is one of few
// arguments, once, for any processor of its kind. For such a target headers only declare:
// WEIR_DECLARED_ONLY is 1, and x.hpp does not include the bodies, which lie in x.inl.hpp.
// Everywhere else it does, and they are inline.
#define WEIR_BODIES_FOR_for_sse2_compiled 1
#define WEIR_BODIES_FOR_for_neon_compiled 1
#define WEIR_TARGET_WITH(prefix, target) prefix##target
#define WEIR_TARGET_MARK(prefix, target) WEIR_TARGET_WITH(prefix, target)
#if WEIR_TARGET_MARK(WEIR_BODIES_FOR_, WEIR_TARGET) && !defined(_GLIBCXX_DEBUG)
#define WEIR_DECLARED_ONLY 1
#define WEIR_INLINE
#else
#define WEIR_DECLARED_ONLY 0
#define WEIR_INLINE inline
#endif
