// A folder for a test's own files, gone with the object.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

namespace weir_test {

class temporary_folder {
 public:
  /// `name` keeps tests apart that run at the same time, with the number of the process.
  explicit temporary_folder(std::string_view name)
      : path_(std::filesystem::temp_directory_path() /
              ("weir-" + std::string(name) + "-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(std::string_view file) const { return (path_ / file).string(); }

  /// Writes or replaces a file and returns its path.
  std::string write(std::string_view file, std::span<const std::byte> image) const {
    std::ofstream(path(file), std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    return path(file);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace weir_test
