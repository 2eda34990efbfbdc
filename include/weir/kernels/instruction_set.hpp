// The instruction set that kernels use, by name.
#pragma once

#include <string_view>

#include <weir/core/target.hpp>

#if defined(WEIR_COMPILED)
#include <weir/kernels/compiled_kernels.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// "avx512", "avx2", "sse2", "neon", or "generic" where kernels are plain C++: what the compiler's
/// flags allow, or what weir::compiled picked for this processor. Throws error::bad_config if
/// weir::compiled has nothing that it can use here: see compiled_kernels.
inline std::string_view instruction_set() {
#if defined(WEIR_COMPILED)
  return compiled_kernels().name;
#elif defined(__AVX512F__)
  return "avx512";
#elif defined(__AVX2__)
  return "avx2";
#elif defined(__SSE2__)
  return "sse2";
#elif defined(__aarch64__)
  return "neon";
#else
  return "generic";
#endif
}

}  // namespace weir::inline WEIR_TARGET
