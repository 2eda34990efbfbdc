// A thread pool that cannot have the memory for one of its threads is not made, and leaves none
// running.
#include <cstdlib>
#include <new>

#include <weir/core/thread_pool.hpp>

#include "support/catch.hpp"

namespace {
thread_local int allocations_left = -1;  // before one fails; -1: none does
}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* const p = std::malloc(size > 0 ? size : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

TEST_CASE("memory for any of its threads may be lacking") {
  int failures = 0;
  for (int n = 0;; ++n) {
    bool made = false;
    allocations_left = n;
    try {
      weir::thread_pool pool(5);
      made = true;
    } catch (const weir::error::out_of_memory&) {
      ++failures;
    }
    allocations_left = -1;
    if (made) break;
    REQUIRE(n < 100);
  }
  REQUIRE(failures > 4);  // one a thread, at least
}
