// What the program asked the heap for, in tests that link count_memory.cpp.
#pragma once

#include <cstddef>

namespace weir_test {

struct memory_count {
  std::size_t calls = 0;          ///< of operator new, malloc and their kin, by all threads
  std::size_t aligned_bytes = 0;  ///< asked of the aligned operator new
};
memory_count memory_so_far();

}  // namespace weir_test
