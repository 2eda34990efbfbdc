// Asking memory for what is read soon.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// Asks for the cache line `ahead` bytes after `p`, which may lie past the array.
inline void prefetch(const void* p, std::size_t ahead) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) + ahead;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): pointers past an array may not be computed
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);
}

/// Asks for the lines of `Bytes` bytes, at least one, from `ahead` bytes after `p` on: close by, as
/// they are read within a microsecond.
template <std::size_t Bytes>
inline void prefetch_lines(const void* p, std::size_t ahead) {
  constexpr std::size_t line = 64;
  const auto address = reinterpret_cast<std::uintptr_t>(p) + ahead;
  for (std::size_t i = 0; i < Bytes; i += line)
    // NOLINTNEXTLINE(performance-no-int-to-ptr): as above
    __builtin_prefetch(reinterpret_cast<const void*>(address + i), 0, 3);
}

/// True for processors whose nearest cache waits for about as many lines at a time as the next one
/// does: as of Zen 5, told by instructions that came with it. Others leave memory idle if they are
/// asked to bring all of it close by.
#if defined(__AVX512F__) && defined(__AVXVNNI__)
inline constexpr bool nearest_waits_for_many = true;
#else
inline constexpr bool nearest_waits_for_many = false;
#endif

/// What a kernel asks for while it reads something of the same size: what it reads next, close by,
/// and what it reads a microsecond later, into the second cache where the first waits for few.
struct reads_ahead {
  const void* next;
  const void* later;

  template <std::size_t Bytes>
  void prefetch(std::size_t at) const {
    prefetch_lines<Bytes>(next, at);
    if constexpr (nearest_waits_for_many)
      prefetch_lines<Bytes>(later, at);
    else
      for (std::size_t i = 0; i < Bytes; i += 64) simd::prefetch(later, at + i);
  }
};

}  // namespace weir::inline WEIR_TARGET::simd
