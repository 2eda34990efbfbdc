// What the program writes down: a hash for each combination, by name.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

namespace weir_record {

/// FNV-1a over words of 32 bits: numbers that differ in one bit give other hashes.
class bit_hash {
 public:
  void add(std::uint32_t word) { value_ = (value_ ^ word) * 0x100000001B3u; }
  void add(std::uint64_t number) {
    add(static_cast<std::uint32_t>(number));
    add(static_cast<std::uint32_t>(number >> 32));
  }
  void add(float x) { add(std::bit_cast<std::uint32_t>(x)); }
  void add(double x) { add(std::bit_cast<std::uint64_t>(x)); }
  void add(std::span<const float> numbers) {
    for (const float x : numbers) add(x);
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325u;
};

/// Combinations and their hashes, sorted by name.
class record {
 public:
  /// Throws std::logic_error if `name` was written before.
  void write(const std::string& name, const bit_hash& hash) {
    if (!lines_.emplace(name, hash.value()).second)
      throw std::logic_error("written twice: " + name);
  }
  const std::map<std::string, std::uint64_t>& lines() const { return lines_; }

 private:
  std::map<std::string, std::uint64_t> lines_;
};

// The parts of the record. A combination is added where its kind is written.
void record_numbers(record& out);                             ///< functions, samplers, positions
void record_products(record& out);                            ///< weights times activations
void record_caches(record& out);                              ///< every preset, fed with numbers
void record_decoding(record& out, const std::string& model);  ///< presets in a whole model

}  // namespace weir_record
