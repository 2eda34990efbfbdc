// Replaces the global operator new. In a file of its own: a compiler that sees both sides of a pair
// complains of the malloc inside.
#include "support/starve.hpp"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
std::atomic<std::size_t> live{0}, count{0}, fails_at{never};
std::atomic<bool> for_good{false}, failed{false};

void* allocate(std::size_t size, std::size_t alignment) {
  const std::size_t number = count++, at = fails_at;
  if (number == at || (for_good && number > at)) {
    failed = true;
    throw std::bad_alloc();
  }
  void* const p = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  ++live;
  return p;
}
void release(void* p) noexcept {
  if (p != nullptr) --live;
  std::free(p);
}

}  // namespace

weir_test::starving::starving(std::size_t nth, bool all_behind) {
  failed = false;
  for_good = all_behind;
  count = 0;
  fails_at = nth;
}
weir_test::starving::~starving() {
  fails_at = never;
  for_good = false;
}
bool weir_test::starving::has() const { return failed; }
std::size_t weir_test::live_allocations() { return live; }

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  try {
    return allocate(size, static_cast<std::size_t>(alignment));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
