// How often memory was allocated, in tests that link count_allocations.cpp.
#pragma once

#include <cstddef>

namespace weir_test {

/// Calls of any global `operator new`, malloc, calloc, realloc or aligned_alloc since the program
/// started, by all threads. Only the differences mean anything: one request may count twice.
std::size_t allocation_count();

/// Bytes asked of any operator new so far.
std::size_t bytes_asked();

/// Bytes asked of the aligned operator new so far.
std::size_t aligned_bytes_asked();

}  // namespace weir_test
