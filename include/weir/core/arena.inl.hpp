// Bodies of core/arena.hpp.
#pragma once

#include <cstddef>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE arena arena::copy() const {
  arena other(bytes_);
  other.copy_from(*this, bytes_);
  return other;
}

WEIR_INLINE arena::arena(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const std::align_val_t alignment{bytes >= huge_page     ? huge_page
                                   : bytes >= large_array ? large_start
                                                          : cache_line};
  memory_ = {static_cast<std::byte*>(::operator new(bytes, alignment, std::nothrow)),
             detail::release_aligned{alignment}};
  error::require<error::out_of_memory>(memory_ != nullptr, "not enough memory: ", bytes,
                                       " bytes in one piece cannot be had");
#if defined(__linux__)
  // Advice: refused, it leaves things as they are.
  if (bytes >= huge_page) ::madvise(memory_.get(), bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace weir::inline WEIR_TARGET
