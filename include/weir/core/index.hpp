// The three numbers that name a token, as three types: mixing them up is how caches break.
#pragma once

#include <compare>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// How many tokens of the stream came before this one. 64 bits: at a million tokens a second it
/// wraps after 500,000 years.
struct stream_index {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(stream_index, stream_index) = default;
};

/// The integer a RoPE angle comes from.
struct position {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(position, position) = default;
};

/// Where one token's K and V lie for one KV head. Storage only: masks never use it.
struct slot {
  std::uint32_t value = 0;
  friend constexpr auto operator<=>(slot, slot) = default;
};

}  // namespace weir::inline WEIR_TARGET
