// Blocks of quantised weights, as GGUF files hold them: low-bit codes that share a scale.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

// Products take blocks in parts of 32 weights. Weight i of a part is
//   scale · (code − bias)             where `has_offset` is false,
//   scale · code + offset             where it is true,
//   scale · step · (code − bias)      with a whole-numbered step for each 16, where `steps` is 2.
// kernels/weight_parts.hpp takes them out.

/// 32 weights, weight i is `scale * quants[i]`: its code is `quants[i]` with the top bit flipped.
struct q8_0_block {
  static constexpr std::size_t size = 32, steps = 1;  ///< size: weights in one block
  static constexpr std::int32_t bias = 128;
  static constexpr bool has_offset = false;
  f16 scale;
  std::int8_t quants[size];
};
static_assert(sizeof(q8_0_block) == 34 && alignof(q8_0_block) == 2);

/// 32 weights of 4 bits. Byte i holds code i below and code i + 16 above.
struct q4_0_block {
  static constexpr std::size_t size = 32, steps = 1;
  static constexpr std::int32_t bias = 8;
  static constexpr bool has_offset = false;
  f16 scale;
  std::uint8_t low[16];
};
static_assert(sizeof(q4_0_block) == 18 && alignof(q4_0_block) == 2);

/// As Q4_0, with an offset in place of the bias.
struct q4_1_block {
  static constexpr std::size_t size = 32, steps = 1;
  static constexpr std::int32_t bias = 0;
  static constexpr bool has_offset = true;
  f16 scale, offset;
  std::uint8_t low[16];
};
static_assert(sizeof(q4_1_block) == 20 && alignof(q4_1_block) == 2);

/// 32 weights of 5 bits: four as in Q4_0; the fifth of code i is bit i of `high`.
struct q5_0_block {
  static constexpr std::size_t size = 32, steps = 1;
  static constexpr std::int32_t bias = 16;
  static constexpr bool has_offset = false;
  f16 scale;
  std::uint8_t high[4];
  std::uint8_t low[16];
};
static_assert(sizeof(q5_0_block) == 22 && alignof(q5_0_block) == 2);

/// As Q5_0, with an offset in place of the bias.
struct q5_1_block {
  static constexpr std::size_t size = 32, steps = 1;
  static constexpr std::int32_t bias = 0;
  static constexpr bool has_offset = true;
  f16 scale, offset;
  std::uint8_t high[4];
  std::uint8_t low[16];
};
static_assert(sizeof(q5_1_block) == 24 && alignof(q5_1_block) == 2);

/// 256 weights of 4 bits. Each part has a scale and an offset of 6 bits, times those of the block.
/// Byte 32 j + i of `low` holds code i of part 2 j below and of part 2 j + 1 above.
struct q4_k_block {
  static constexpr std::size_t size = 256, steps = 1;
  static constexpr std::int32_t bias = 0;
  static constexpr bool has_offset = true;
  f16 scale, offset;             ///< the offset is subtracted
  std::uint8_t part_scales[12];  ///< eight scales and eight offsets
  std::uint8_t low[128];
};
static_assert(sizeof(q4_k_block) == 144 && alignof(q4_k_block) == 2);

/// As Q4_K, with 5 bits: the fifth of code i of part p is bit p of `high[i]`.
struct q5_k_block {
  static constexpr std::size_t size = 256, steps = 1;
  static constexpr std::int32_t bias = 0;
  static constexpr bool has_offset = true;
  f16 scale, offset;
  std::uint8_t part_scales[12];
  std::uint8_t high[32];
  std::uint8_t low[128];
};
static_assert(sizeof(q5_k_block) == 176 && alignof(q5_k_block) == 2);

/// 256 weights of 6 bits. Part p = 4 h + q finds code i's low bits in byte 64 h + 32 (q mod 2) + i
/// of `low`, in its upper half from q = 2 on, and its high bits in bits 2 q, 2 q + 1 of
/// `high[32 h + i]`.
struct q6_k_block {
  static constexpr std::size_t size = 256, steps = 2;
  static constexpr std::int32_t bias = 32;
  static constexpr bool has_offset = false;
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t step[16];  ///< of 16 weights each
  f16 scale;
};
static_assert(sizeof(q6_k_block) == 210 && alignof(q6_k_block) == 2);

}  // namespace weir::inline WEIR_TARGET
