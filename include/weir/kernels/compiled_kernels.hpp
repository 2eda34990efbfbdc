// The way from a program to the kernels of weir::compiled.
//
// The library holds each kernel once for each instruction set it was built for. What is compiled
// for an instruction set lies in an inline namespace of its own (core/target.hpp), the program's
// code in another; what goes to and fro are pointers to types of either, laid out alike. So the two
// meet in a C function, whose name holds the version: other headers than the library was built from
// do not link.
#pragma once

#include <cstdint>
#include <string_view>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/version.hpp>

extern "C" {
/// The kernels of one instruction set.
struct weir_compiled_kernels {
  const char* name;           ///< "sse2", "avx2", "avx512", "neon"
  std::uint64_t needs;        ///< what the processor must have: see cmake/compiled/select.cpp
  const void* const* groups;  ///< by the number of a group
};
/// What was picked for this processor: `kernels` is null where nothing can be, and `problem` says
/// why then.
struct weir_compiled_choice {
  const weir_compiled_kernels* kernels;
  const char* problem;
};
#define WEIR_COMPILED_SYMBOL_OF(major, minor, patch) weir_choose_kernels_##major##_##minor##_##patch
#define WEIR_COMPILED_SYMBOL_NAME(...) WEIR_COMPILED_SYMBOL_OF(__VA_ARGS__)
#define WEIR_COMPILED_SYMBOL \
  WEIR_COMPILED_SYMBOL_NAME(WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR, WEIR_VERSION_PATCH)
/// Picks the best instruction set that the processor has, or the one that WEIR_ISA names in the
/// environment: once, at the first call. Any number of threads may call.
weir_compiled_choice WEIR_COMPILED_SYMBOL() noexcept;
}

namespace weir::inline WEIR_TARGET {

namespace detail {

inline const weir_compiled_kernels& load_compiled_kernels() {
  const weir_compiled_choice choice = WEIR_COMPILED_SYMBOL();
  error::require<error::bad_config>(choice.kernels != nullptr, choice.problem);
  return *choice.kernels;
}

}  // namespace detail

/// The kernels in use. Throws error::bad_config if WEIR_ISA names an instruction set that is
/// unknown, that the processor lacks or that weir::compiled was not built for, and if there is none
/// that the processor has. Whoever owns a model or a cache has called this before.
inline const weir_compiled_kernels& compiled_kernels() {
  static const weir_compiled_kernels& loaded = detail::load_compiled_kernels();
  return loaded;
}

}  // namespace weir::inline WEIR_TARGET
