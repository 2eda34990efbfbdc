// A whole file as read-only memory.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Maps a file for as long as the object lives. Pages are read when touched. What is written into
/// the file meanwhile may show, now or later, and touching pages that it lost by being shortened is
/// fatal, as with every mapping: replace model files by renaming, never by writing into them.
class mapped_file {
 public:
  mapped_file() = default;

  /// With `map` false the whole file is read into memory instead, and may then become anything.
  /// Throws `error::bad_file` when `path` cannot be opened, is not a regular file, or is empty.
  explicit mapped_file(const std::string& path, bool map = true);

  mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  struct descriptor {
    int number;
    ~descriptor() {
      if (number >= 0) ::close(number);
    }
  };

  /// Fills `to` from the start of a file.
  static void read(const std::string& path, const descriptor& file, std::span<std::byte> to);

  [[noreturn]] static void fail(const std::string& path, const char* what) {
    const int reason = errno;
    error::raise<error::bad_file>(path, ": ", what, ": ", std::strerror(reason));
  }

  std::span<const std::byte> bytes_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/gguf/mapped_file.inl.hpp>
#endif
