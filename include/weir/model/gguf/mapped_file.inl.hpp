// Bodies of model/gguf/mapped_file.hpp.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/mapped_file.hpp>

namespace weir::inline WEIR_TARGET {

// Made first, so that whatever throws below gives its memory back.
WEIR_INLINE mapped_file::mapped_file(const std::string& path, bool map) : mapped_file() {
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
  void* const data =
      map ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0)
          : ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) fail(path, map ? "cannot be mapped" : "does not fit into memory");
  bytes_ = {static_cast<const std::byte*>(data), size};
  if (!map) read(path, file, {static_cast<std::byte*>(data), size});
}

WEIR_INLINE void mapped_file::read(const std::string& path, const descriptor& file,
                                   std::span<std::byte> to) {
  const std::size_t size = to.size();
  while (!to.empty()) {
    const ::ssize_t count = ::read(file.number, to.data(), to.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path, "cannot be read");
    error::require<error::bad_file>(count > 0, path, ": ends after ", size - to.size(),
                                    " bytes; expected the ", size,
                                    " that it had when it was opened");
    to = to.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace weir::inline WEIR_TARGET
