// What weir computes, as hashes: a line for each combination, its name, a tab and 64 bits in hex,
// sorted by name. The same on every instruction set, compiler and optimisation level.
//
//   record MODEL         writes the lines
//   record MODEL FILE    compares them with those of FILE; names what differs, and exits with 1
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "record.hpp"

namespace {

using lines = std::map<std::string, std::string>;

lines made(const std::string& model) {
  weir_record::record out;
  weir_record::record_numbers(out);
  weir_record::record_products(out);
  weir_record::record_caches(out);
  weir_record::record_decoding(out, model);
  lines all;
  for (const auto& [name, hash] : out.lines()) {
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
    all[name] = hex;
  }
  return all;
}

lines read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  lines all;
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) throw std::runtime_error(path + ": a line without a tab");
    all[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return all;
}

/// How many combinations differ; each is named.
std::size_t differences(const lines& expected, const lines& now) {
  std::size_t count = 0;
  const auto differs = [&](const std::string& name, const std::string& was, const std::string& is) {
    std::cout << name << ": " << is << " (expected " << was << ")\n";
    ++count;
  };
  for (const auto& [name, hash] : expected) {
    const auto found = now.find(name);
    if (found == now.end())
      differs(name, hash, "not written");
    else if (found->second != hash)
      differs(name, hash, found->second);
  }
  for (const auto& [name, hash] : now)
    if (!expected.contains(name)) differs(name, "nothing", hash);
  return count;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: record MODEL [FILE]\n";
    return 2;
  }
  const lines now = made(argv[1]);
  if (argc == 2) {
    for (const auto& [name, hash] : now) std::cout << name << '\t' << hash << '\n';
    return 0;
  }
  const std::size_t count = differences(read(argv[2]), now);
  std::cout << now.size() << " combinations, " << count << " differ from " << argv[2] << '\n';
  return count == 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "record: " << e.what() << '\n';
  return 2;
}
