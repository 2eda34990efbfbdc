// Files that the tools read and write whole.
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

#include <weir/core/error.hpp>

namespace tool {

/// The file's bytes, unchanged.
inline std::string read_bytes(const std::filesystem::path& path) {
  using weir::error::bad_input, weir::error::require;
  require<bad_input>(!std::filesystem::is_directory(path), path.string(),
                     ": is a directory (expected a text)");
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  require<bad_input>(file.good() || file.eof(), path.string(), ": cannot be read");
  return bytes;
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
