// Kernels in groups: what passes, memories and policies ask of an architecture.
//
// A group is a table of functions, such as row_kernels. `kernels<row_kernels, A>()` is that of
// architecture A. Where A is known when a program is compiled, so are the functions, and calling
// one through its group costs what calling the kernel does. Those of `simd::dispatched` lie in
// weir::compiled, for the best instruction set that the processor has.
#pragma once

#include <weir/core/target.hpp>
#include <weir/simd/arch.hpp>

#if defined(WEIR_COMPILED)
#include <weir/kernels/compiled_kernels.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// `value` is the table of A's kernels. Each group's header has it for architectures of xsimd.
template <class Group, class A>
struct kernel_group;

/// The table `Group` of architecture A.
template <class Group, class A = simd::preferred>
const Group& kernels() {
#if defined(WEIR_COMPILED)
  return *static_cast<const Group*>(compiled_kernels().groups[Group::number]);
#else
  return kernel_group<Group, A>::value;
#endif
}

/// Throws error::bad_config where there are no kernels for this processor: see compiled_kernels.
inline void require_kernels() {
#if defined(WEIR_COMPILED)
  compiled_kernels();
#endif
}

}  // namespace weir::inline WEIR_TARGET
