// Numbers of entries in the floats that a member works in: all 32 bits count, none is computed
// with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace weir::detail {

inline float packed(std::size_t i) { return std::bit_cast<float>(static_cast<std::uint32_t>(i)); }
inline std::uint32_t unpacked(float x) { return std::bit_cast<std::uint32_t>(x); }

}  // namespace weir::detail
