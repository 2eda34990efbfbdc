// Runs a harness over files, each an input, and over the files of folders: what a compiler without
// libFuzzer makes of a corpus.
//
//   fuzz.HARNESS FILE|FOLDER...
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "fuzz/fuzz_input.hpp"

int main(int argc, char** argv) try {
  namespace fs = std::filesystem;
  std::size_t inputs = 0;
  const auto replay = [&](const fs::path& path) {
    std::cout << path.string() << std::endl;  // the last one named is the one that failed
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++inputs;
  };
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      replay(argv[i]);
      continue;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(argv[i])) replay(entry.path());
  }
  std::cout << inputs << " inputs and the empty one\n";
  return inputs > 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "replay: " << e.what() << '\n';
  return 1;
}
