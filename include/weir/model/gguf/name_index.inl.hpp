// Bodies of model/gguf/name_index.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/model/gguf/name_index.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE std::uint64_t name_index::hash(std::string_view name) const {
  std::uint64_t h = seed_ ^ name.size();
  while (!name.empty()) {
    std::uint64_t word = 0;
    const std::size_t n = name.size() < 8 ? name.size() : 8;
    std::memcpy(&word, name.data(), n);
    // The seed enters every round: without it, states that meet once would stay together.
    h = mix(h ^ word) + seed_;
    name.remove_prefix(n);
  }
  return mix(h);
}

WEIR_INLINE std::uint64_t name_index::random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace weir::inline WEIR_TARGET
