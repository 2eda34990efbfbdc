// How often memory was allocated, in tests that link count_allocations.cpp.
#pragma once

#include <cstddef>

namespace weir_test {

/// Calls of any global `operator new` since the program started, by all threads.
std::size_t allocation_count();

}  // namespace weir_test
