// Bodies of model/mapped_file.hpp.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cstddef>
#include <string>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/mapped_file.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE mapped_file::mapped_file(const std::string& path) {
  // A pipe that nobody writes to would let open() wait for ever.
  const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) fail(path, "cannot be opened");
  struct stat status {};
  if (::fstat(file.number, &status) != 0) fail(path, "cannot be examined");
  error::require<error::bad_file>(S_ISREG(status.st_mode), path,
                                  ": not a regular file; expected a GGUF file");
  error::require<error::bad_file>(status.st_size > 0, path,
                                  ": empty file at byte 0; expected a GGUF file");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (data == MAP_FAILED) fail(path, "cannot be mapped");
  bytes_ = {static_cast<const std::byte*>(data), size};
}

}  // namespace weir::inline WEIR_TARGET
