// Runs the examples as a user would, through the shell.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/skip.hpp"

namespace weir_test {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// A folder for the files of one test program; removed at its end.
class scratch_folder {
 public:
  scratch_folder()
      : path_(std::filesystem::temp_directory_path() / ("weir-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~scratch_folder() { std::filesystem::remove_all(path_); }
  scratch_folder(scratch_folder&&) = delete;

  /// A file's path in it.
  std::string operator()(const std::string& name) const { return (path_ / name).string(); }
  /// The path of a file in it that holds `bytes`.
  std::string with(const std::string& name, const std::string& bytes) const {
    std::ofstream((*this)(name), std::ios::binary) << bytes;
    return (*this)(name);
  }

 private:
  std::filesystem::path path_;
};
inline const scratch_folder scratch;

struct outcome {
  int status = -1;  ///< exit status; -1: a signal
  std::string out, err;
};

/// `command` in a shell, in which $stream, $perplexity and so on name the examples.
inline outcome run(const std::string& command) {
  const std::string out = scratch("out"), err = scratch("err");
  INFO(command);
  std::string line = "d='" WEIR_EXAMPLES_DIR
                     "'; stream=$d/stream perplexity=$d/perplexity; "
                     "compare_policies=$d/compare_policies calibrate=$d/calibrate; "
                     "speculative=$d/speculative tokenize=$d/tokenize; ";
  line += "{ " + command + "\n} >'" + out + "' 2>'" + err + "' </dev/null";
  const int status = std::system(line.c_str());
  outcome o{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
  return o;
}

/// The same for a command that must succeed: what it printed.
inline std::string output_of(const std::string& command) {
  const outcome o = run(command);
  INFO(command << "\n" << o.err);
  REQUIRE(o.status == 0);
  return o.out;
}

/// The bundled model, quoted for the shell.
inline const std::string tiny = "'" WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf'";

/// False, and a note, where the examples were not built.
inline bool examples_built() {
  if (std::filesystem::exists(WEIR_EXAMPLES_DIR "/stream")) return true;
  note_skip("the examples were not built");
  return false;
}

}  // namespace weir_test
