// Reference files that lie outside the source tree and may be absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "support/skip.hpp"

namespace weir_test {

/// The path of a reference file or folder; without it, notes the skip and returns nothing:
/// `const auto file = shared("texts/emma.txt"); if (!file) return;`
/// The environment variable WEIR_SHARED_DIR overrides the folder given at configure time.
inline std::optional<std::filesystem::path> shared(const char* relative) {
  const char* override_dir = std::getenv("WEIR_SHARED_DIR");
  std::filesystem::path path(override_dir != nullptr ? override_dir : WEIR_SHARED_DIR);
  path /= relative;
  if (std::filesystem::exists(path)) return path;
  note_skip(path.string() + " not found");
  return std::nullopt;
}

}  // namespace weir_test
