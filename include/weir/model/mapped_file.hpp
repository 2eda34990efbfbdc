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

/// Maps a file for as long as the object lives. Pages are read when touched. Another process that
/// shortens the file meanwhile makes touching the lost pages fatal, as with every mapping: replace
/// model files by renaming, never by writing into them.
class mapped_file {
 public:
  mapped_file() = default;

  /// Throws `error::bad_file` when `path` cannot be opened, is not a regular file, or is empty.
  explicit mapped_file(const std::string& path);

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

  [[noreturn]] static void fail(const std::string& path, const char* what) {
    const int reason = errno;
    error::raise<error::bad_file>(path, ": ", what, ": ", std::strerror(reason));
  }

  std::span<const std::byte> bytes_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/mapped_file.inl.hpp>
#endif
