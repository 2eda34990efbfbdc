// What weir computes, as hashes: a line for each combination, its name, a tab and 64 bits in hex,
// sorted by name. The same on every instruction set, compiler and optimisation level.
//
//   record.bits MODEL                 writes the lines
//   record.bits MODEL FILE [PART...]  compares them with those of FILE, all or those of some parts:
//                                     number, product, cache, model. Names what differs, and exits
//                                     with 1
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "record.hpp"

namespace {

using lines = std::map<std::string, std::string>;

/// A name's first word is its part.
const std::map<std::string, void (*)(weir_record::record&, const std::string& model)> parts = {
    {"number", [](weir_record::record& out, const std::string&) { record_numbers(out); }},
    {"product", [](weir_record::record& out, const std::string&) { record_products(out); }},
    {"cache", [](weir_record::record& out, const std::string&) { record_caches(out); }},
    {"model", weir_record::record_decoding}};

using names = std::set<std::string>;

lines made(const std::string& model, const names& wanted) {
  weir_record::record out;
  for (const std::string& part : wanted) {
    const auto found = parts.find(part);
    if (found == parts.end())
      throw std::runtime_error(part + ": no part (expected number, product, cache or model)");
    found->second(out, model);
  }
  lines all;
  for (const auto& [name, hash] : out.lines()) {
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
    all[name] = hex;
  }
  return all;
}

lines read(const std::string& path, const names& wanted) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  lines all;
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) throw std::runtime_error(path + ": a line without a tab");
    if (wanted.contains(line.substr(0, line.find(' '))))
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
  if (argc < 2) {
    std::cerr << "usage: record.bits MODEL [FILE [PART...]]\n";
    return 2;
  }
  names wanted;
  for (int i = 3; i < argc; ++i) wanted.insert(argv[i]);
  if (wanted.empty())
    for (const auto& [part, make] : parts) wanted.insert(part);
  const lines now = made(argv[1], wanted);
  if (argc == 2) {
    for (const auto& [name, hash] : now) std::cout << name << '\t' << hash << '\n';
    return 0;
  }
  const std::size_t count = differences(read(argv[2], wanted), now);
  std::cout << now.size() << " combinations, " << count << " differ from " << argv[2] << '\n';
  return count == 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "record.bits: " << e.what() << '\n';
  return 2;
}
