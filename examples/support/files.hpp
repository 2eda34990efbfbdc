// Files that the tools read and write whole.
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir/core/error.hpp>

namespace tool {

/// The bytes of a text, unchanged: all that there is to read in a file or pipe, or, for "-", from
/// standard input. Throws error::bad_input naming it.
inline std::string read_bytes(const std::string& path) {
  using weir::error::bad_input, weir::error::require;
  struct descriptor {
    int number;
    bool is_own;
    ~descriptor() {
      if (is_own) ::close(number);
    }
  };
  const bool is_own = path != "-";
  const std::string name = is_own ? path : "standard input";
  const int number = is_own ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  struct stat status {};
  require<bad_input>(number >= 0 && ::fstat(number, &status) == 0, name, ": cannot be read");
  const descriptor file{number, is_own};
  require<bad_input>(!S_ISDIR(status.st_mode), name, ": is a directory (expected a text)");
  std::string bytes;
  if (S_ISREG(status.st_mode)) bytes.reserve(static_cast<std::size_t>(status.st_size));
  std::vector<char> part(std::size_t{1} << 16);
  for (;;) {
    const ssize_t n = ::read(file.number, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    require<bad_input>(n >= 0, name, ": cannot be read");
    if (n == 0) return bytes;
    bytes.append(part.data(), static_cast<std::size_t>(n));
    require<bad_input>(bytes.size() < std::size_t{1} << 31, name,
                       ": has no end below 2^31 bytes (expected a text)");
  }
}

/// A file that is written as a whole or not at all.
class output_file {
 public:
  /// Throws error::bad_input if `path` cannot be written; touches nothing.
  explicit output_file(std::filesystem::path path) : path_(std::move(path)) {
    namespace fs = std::filesystem;
    require(!fs::is_directory(path_));
    const fs::file_type type = fs::symlink_status(path_).type();
    in_place_ = type != fs::file_type::not_found && type != fs::file_type::regular;
    const fs::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
    require(::access(in_place_ ? path_.c_str() : folder.c_str(), W_OK) == 0);
  }

  void write(std::string_view bytes) const {
    std::filesystem::path target = path_;  // devices, pipes and links stay what they are
    if (!in_place_) target += ".partial";
    std::ofstream file(target, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file && !in_place_) {
      std::error_code ignored;
      std::filesystem::remove(target, ignored);
    }
    require(bool{file});
    if (!in_place_) std::filesystem::rename(target, path_);
  }

 private:
  void require(bool holds) const {
    weir::error::require<weir::error::bad_input>(holds, path_.string(), ": cannot be written");
  }

  std::filesystem::path path_;
  bool in_place_ = false;
};

}  // namespace tool
