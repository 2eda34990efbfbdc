// Replaces the global allocation functions, and with glibc malloc itself.
#include "cache/count_memory.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEIR_OWN_MALLOC 0  // sanitizers have their own
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEIR_OWN_MALLOC 0
#endif
#endif
#if !defined(WEIR_OWN_MALLOC)
#if defined(__GLIBC__)
#define WEIR_OWN_MALLOC 1
#else
#define WEIR_OWN_MALLOC 0
#endif
#endif

namespace {
std::atomic<std::size_t> calls{0}, aligned_bytes{0};
}  // namespace

weir_test::memory_count weir_test::memory_so_far() { return {calls, aligned_bytes}; }

#if WEIR_OWN_MALLOC
extern "C" {
void* __libc_malloc(std::size_t) noexcept;                 // NOLINT
void* __libc_calloc(std::size_t, std::size_t) noexcept;    // NOLINT
void* __libc_realloc(void*, std::size_t) noexcept;         // NOLINT
void* __libc_memalign(std::size_t, std::size_t) noexcept;  // NOLINT

void* malloc(std::size_t size) noexcept {
  ++calls;
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
  ++calls;
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) noexcept {
  ++calls;
  return __libc_realloc(p, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++calls;
  return __libc_memalign(alignment, size);
}
}
#endif

void* operator new(std::size_t size) {
  ++calls;
  if (void* const p = std::malloc(size + (size == 0))) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++calls;
  return std::malloc(size + (size == 0));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++calls;
  aligned_bytes += size;
  const auto a = static_cast<std::size_t>(alignment);
  if (void* const p = std::aligned_alloc(a, (size + a) / a * a)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
