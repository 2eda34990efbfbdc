// Memory that runs out when a test says so, in tests that link starve.cpp.
#pragma once

#include <cstddef>

namespace weir_test {

/// While it lives, the `nth` allocation from now on, counted from 0, throws std::bad_alloc; with
/// `for_good` all behind it do too. By any operator new, of any thread. One at a time.
class starving {
 public:
  explicit starving(std::size_t nth, bool for_good = false);
  ~starving();
  starving(const starving&) = delete;
  starving& operator=(const starving&) = delete;

  /// True if an allocation has failed.
  bool has() const;
};

/// Allocations that were not freed yet.
std::size_t live_allocations();

}  // namespace weir_test
