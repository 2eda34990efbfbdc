// Random numbers that are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <weir/core/philox.hpp>

namespace weir_bench {

/// `n` numbers, close to normally distributed with standard deviation `sigma`: sums of eight
/// uniform ones, which takes neither logarithms nor cosines.
inline std::vector<float> normal_floats(std::size_t n, float sigma, std::uint32_t seed) {
  constexpr float mean = 8 * 32767.5f, deviation = 53509.3f;  // 65536 · √(8 / 12)
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t sum = 0;
    for (const std::uint32_t word : weir::philox(
             {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0}, {seed, 0}))
      sum += (word & 0xFFFF) + (word >> 16);
    x[i] = (static_cast<float>(sum) - mean) / deviation * sigma;
  }
  return x;
}

}  // namespace weir_bench
