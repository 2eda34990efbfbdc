// What the blocks of quantised weights mean: parts of 32 weights as integers and their scales.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/weight_blocks.hpp>

namespace weir::inline WEIR_TARGET {

// ---- out[i] = code − bias of weight i of a part ------------------------------------------------

namespace detail {

template <class Block>
void unpack_halves(const Block& w, std::int8_t* out) {
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = static_cast<std::int8_t>((w.low[i] & 15) - Block::bias);
    out[i + 16] = static_cast<std::int8_t>((w.low[i] >> 4) - Block::bias);
  }
}

template <class Block>
void unpack_fifth_bits(const Block& w, std::int8_t* out) {
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<std::int8_t>(out[i] + ((w.high[i / 8] >> i % 8 & 1) << 4));
}

template <class Block>
void unpack_nibbles(const Block& w, std::size_t part, std::int8_t* out) {
  const std::size_t shift = part % 2 * 4;
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<std::int8_t>(w.low[part / 2 * 32 + i] >> shift & 15);
}

}  // namespace detail

inline void unpack(const q8_0_block& w, std::size_t, std::int8_t* out) {
  std::copy_n(w.quants, q8_0_block::size, out);
}
inline void unpack(const q4_0_block& w, std::size_t, std::int8_t* out) {
  detail::unpack_halves(w, out);
}
inline void unpack(const q4_1_block& w, std::size_t, std::int8_t* out) {
  detail::unpack_halves(w, out);
}
inline void unpack(const q5_0_block& w, std::size_t, std::int8_t* out) {
  detail::unpack_halves(w, out);
  detail::unpack_fifth_bits(w, out);
}
inline void unpack(const q5_1_block& w, std::size_t, std::int8_t* out) {
  detail::unpack_halves(w, out);
  detail::unpack_fifth_bits(w, out);
}
inline void unpack(const q4_k_block& w, std::size_t part, std::int8_t* out) {
  detail::unpack_nibbles(w, part, out);
}
inline void unpack(const q5_k_block& w, std::size_t part, std::int8_t* out) {
  detail::unpack_nibbles(w, part, out);
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<std::int8_t>(out[i] + ((w.high[i] >> part & 1) << 4));
}
inline void unpack(const q6_k_block& w, std::size_t part, std::int8_t* out) {
  const std::size_t half = part / 4, quarter = part % 4;
  const std::uint8_t* const low = w.low + 64 * half + 32 * (quarter % 2);
  const std::uint8_t* const high = w.high + 32 * half;
  for (std::size_t i = 0; i < 32; ++i) {
    const int code = (low[i] >> quarter / 2 * 4 & 15) | (high[i] >> 2 * quarter & 3) << 4;
    out[i] = static_cast<std::int8_t>(code - q6_k_block::bias);
  }
}

// ---- the scale and offset of a part, both exact ------------------------------------------------

namespace detail {

/// Number `part` of the eight 6-bit scales, or of the eight offsets, in 12 bytes: the first four
/// whole in one byte each, whose upper two bits are those of the last four.
inline int six_bit_scale(const std::uint8_t* s, std::size_t part) {
  return part < 4 ? s[part] & 63 : (s[part + 4] & 15) | s[part - 4] >> 6 << 4;
}
inline int six_bit_offset(const std::uint8_t* s, std::size_t part) {
  return part < 4 ? s[part + 4] & 63 : s[part + 4] >> 4 | s[part] >> 6 << 4;
}

}  // namespace detail

template <class Block>
float scale_of(const Block& w, std::size_t) {
  return to_float(w.scale);
}
inline float scale_of(const q4_k_block& w, std::size_t part) {
  return to_float(w.scale) * static_cast<float>(detail::six_bit_scale(w.part_scales, part));
}
inline float scale_of(const q5_k_block& w, std::size_t part) {
  return to_float(w.scale) * static_cast<float>(detail::six_bit_scale(w.part_scales, part));
}

template <class Block>
float offset_of(const Block& w, std::size_t) {
  return to_float(w.offset);
}
inline float offset_of(const q4_k_block& w, std::size_t part) {
  return to_float(w.offset) * static_cast<float>(-detail::six_bit_offset(w.part_scales, part));
}
inline float offset_of(const q5_k_block& w, std::size_t part) {
  return to_float(w.offset) * static_cast<float>(-detail::six_bit_offset(w.part_scales, part));
}

// ---- both --------------------------------------------------------------------------------------

/// A part taken out of its block: weight i is `scale · step[i / 16] · codes[i]`, plus `offset`
/// where there is one.
struct weight_part {
  static constexpr std::size_t size = 32;

  std::int8_t codes[size];
  std::int32_t step[2] = {1, 1};
  float scale;
  bool has_offset;
  float offset = 0;
};

template <class Block>
weight_part part_of(const Block& w, std::size_t part) {
  weight_part p;
  unpack(w, part, p.codes);
  p.scale = scale_of(w, part);
  p.has_offset = Block::has_offset;
  if constexpr (Block::has_offset) p.offset = offset_of(w, part);
  if constexpr (Block::steps == 2) std::copy_n(w.step + 2 * part, 2, p.step);
  return p;
}

/// Σ step · code · x over a part. Exact, and below 2^24.
inline std::int32_t dot(const weight_part& w, const std::int8_t* x) {
  std::int32_t first = 0, second = 0;
  for (std::size_t i = 0; i < 16; ++i) first += std::int32_t{w.codes[i]} * x[i];
  for (std::size_t i = 16; i < 32; ++i) second += std::int32_t{w.codes[i]} * x[i];
  return first * w.step[0] + second * w.step[1];
}

}  // namespace weir::inline WEIR_TARGET
