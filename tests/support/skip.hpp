// Skipping, which Catch2 2 lacks: a case that cannot run says why and returns without asserting.
// An executable whose every case skipped exits with 77, which ctest shows as skipped.
#pragma once

#include <iostream>
#include <string_view>

namespace weir_test {

/// How many times something was skipped since the program started.
inline int skip_count = 0;

inline void note_skip(std::string_view why) {
  ++skip_count;
  std::cerr << "SKIPPED: " << why << '\n';
}

}  // namespace weir_test
