// Keys and values as small integers that share a scale: x = scale · code.
//
// What they are multiplied with is rounded to integers too, so that sums of products are exact: a
// query to 8 bits, a tile's weights, of which few may carry all, to 15.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET {

/// 8 bits an element and one scale for each token and KV head.
struct int8 {
  using scale = f32;
  static constexpr std::size_t bits = 8, group = max_head_dim;
  static constexpr std::int32_t least = -127, most = 127;
  /// The scale of a group whose number of the largest magnitude is `extreme`.
  static float scale_for(float extreme) { return std::abs(extreme) / 127; }
};

/// 4 bits an element and one scale for each 32 elements of a head.
struct int4 {
  using scale = bf16;
  static constexpr std::size_t bits = 4, group = 32;
  static constexpr std::int32_t least = -8, most = 7;
  /// The extreme becomes -8, the code without a counterpart: 16 levels instead of 15.
  static float scale_for(float extreme) { return extreme / -8; }
};

template <class C>
concept integer_codec = std::same_as<C, int8> || std::same_as<C, int4>;

/// Codecs by number.
template <class Codec>
inline constexpr std::size_t codec_number = std::same_as<Codec, f32>    ? 0
                                            : std::same_as<Codec, f16>  ? 1
                                            : std::same_as<Codec, bf16> ? 2
                                            : std::same_as<Codec, int8> ? 3
                                                                        : 4;

/// The largest number that a codec holds.
template <class C>
inline constexpr float largest_held = 0x1.FEp127f;  // of bf16; and integers times their scale
template <>
inline constexpr float largest_held<f32> = std::numeric_limits<float>::max();
template <>
inline constexpr float largest_held<f16> = 65504.0f;

/// How a query becomes integers from -127 to 127.
struct query_scale {
  float inverse = 0;  ///< what numbers are multiplied by before they are rounded
  float scale = 0;    ///< what an integer stands for

  /// For numbers up to `largest` in magnitude. Below 2^-100 they count as zeros. If one of them is
  /// NaN or infinite, the scale is too.
  explicit query_scale(float largest) {
    if (largest < 0x1p-100f) return;
    inverse = 127 / largest;
    scale = largest / 127;
  }
};

/// How the weights of a tile's 32 lanes become integers of at most 2^14 in magnitude: by a power of
/// two, so that nothing but the integer is rounded.
struct weight_scale {
  float inverse = 0;
  float scale = 0;  ///< 1 / inverse

  /// As above; if one of them is NaN or infinite, the scale is NaN.
  explicit weight_scale(float largest) {
    constexpr std::uint32_t bias = 127, bits = 13;
    if (largest < 0x1p-100f) return;
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(largest) >> 23;
    if (exponent == 0xFF) {
      scale = std::numeric_limits<float>::quiet_NaN();
      return;
    }
    scale = std::bit_cast<float>((exponent - bits) << 23);
    inverse = std::bit_cast<float>((2 * bias + bits - exponent) << 23);
  }
};

/// Keys `[row of 4 or 8 elements, 32, 4 bytes]`: a lane's four (int8) or eight (int4) neighbouring
/// elements, int4's last four in the upper halves; codes are made positive by `key_bias`. Values
/// `[16 pairs of tokens, block of 32 elements, …]`: for int8 32 × 2 bytes; for int4 16 × 2, element
/// i + 16 above element i. Scales `[group, 32]` follow.
template <integer_codec C>
struct kv_tiles<C> {
  using storage = std::int8_t;
  using scale = typename C::scale;

  static constexpr std::size_t row_bytes = 4 * tile_lanes;   ///< of keys
  static constexpr std::size_t row_elements = 32 / C::bits;  ///< of a key, in one row
  static constexpr std::uint32_t key_bias = 1u << (C::bits - 1);
  static constexpr std::size_t block = 32;  ///< elements of a value's block
  static constexpr std::size_t block_bytes = block * C::bits / 4;

  static constexpr std::size_t groups(std::size_t head_dim) {
    return (head_dim + C::group - 1) / C::group;
  }
  static constexpr std::size_t key_rows(std::size_t head_dim) {
    return (head_dim + row_elements - 1) / row_elements;
  }
  static constexpr std::size_t blocks(std::size_t head_dim) {
    return (head_dim + block - 1) / block;
  }
  static constexpr std::size_t scale_bytes(std::size_t head_dim) {
    return groups(head_dim) * tile_lanes * sizeof(scale);
  }
  static constexpr std::size_t key_codes(std::size_t head_dim) {
    return key_rows(head_dim) * row_bytes;
  }
  static constexpr std::size_t value_codes(std::size_t head_dim) {
    return tile_lanes / 2 * blocks(head_dim) * block_bytes;
  }
  static constexpr std::size_t key_size(std::size_t head_dim) {
    return key_codes(head_dim) + scale_bytes(head_dim);
  }
  static constexpr std::size_t value_size(std::size_t head_dim) {
    return value_codes(head_dim) + scale_bytes(head_dim);
  }
  /// `[group, 32]`
  template <class Byte>
  static auto key_scales(Byte* tile, std::size_t head_dim) {
    return scales_at(tile + key_codes(head_dim));
  }
  template <class Byte>
  static auto value_scales(Byte* tile, std::size_t head_dim) {
    return scales_at(tile + value_codes(head_dim));
  }

  static float key(const storage* tile, std::size_t head_dim, std::size_t lane, std::size_t k) {
    return number(tile, key_at(lane, k),
                  key_scales(tile, head_dim)[k / C::group * tile_lanes + lane]);
  }
  static float value(const storage* tile, std::size_t head_dim, std::size_t lane, std::size_t k) {
    return number(tile, value_at(head_dim, lane, k),
                  value_scales(tile, head_dim)[k / C::group * tile_lanes + lane]);
  }
  /// The codes, which the reference adds up.
  static std::int32_t key_code(const storage* tile, std::size_t lane, std::size_t k) {
    return get(tile, key_at(lane, k));
  }
  static std::int32_t value_code(const storage* tile, std::size_t head_dim, std::size_t lane,
                                 std::size_t k) {
    return get(tile, value_at(head_dim, lane, k));
  }

  /// Encodes `x[head_dim]` in one lane. What is left of the last row or block becomes zero.
  static void put_key(storage* tile, std::size_t head_dim, std::size_t lane, const float* x) {
    put(tile, head_dim, key_rows(head_dim) * row_elements, lane, x, key_scales(tile, head_dim),
        [&](std::size_t k) { return key_at(lane, k); });
  }
  static void put_value(storage* tile, std::size_t head_dim, std::size_t lane, const float* x) {
    put(tile, head_dim, blocks(head_dim) * block, lane, x, value_scales(tile, head_dim),
        [&](std::size_t k) { return value_at(head_dim, lane, k); });
  }

  static void copy_key(const storage* from, std::size_t from_lane, storage* to, std::size_t to_lane,
                       std::size_t head_dim) {
    for (std::size_t row = 0; row < key_rows(head_dim); ++row)
      for (std::size_t byte = 0; byte < 4; ++byte)
        to[row * row_bytes + 4 * to_lane + byte] = from[row * row_bytes + 4 * from_lane + byte];
    for (std::size_t g = 0; g < groups(head_dim); ++g)
      key_scales(to, head_dim)[g * tile_lanes + to_lane] =
          key_scales(from, head_dim)[g * tile_lanes + from_lane];
  }
  static void copy_value(const storage* from, std::size_t from_lane, storage* to,
                         std::size_t to_lane, std::size_t head_dim) {
    const std::size_t bytes = blocks(head_dim) * block_bytes;  // of a pair of tokens
    for (std::size_t i = 0; i < bytes; i += 2)
      to[to_lane / 2 * bytes + i + to_lane % 2] = from[from_lane / 2 * bytes + i + from_lane % 2];
    for (std::size_t g = 0; g < groups(head_dim); ++g)
      value_scales(to, head_dim)[g * tile_lanes + to_lane] =
          value_scales(from, head_dim)[g * tile_lanes + from_lane];
  }

 private:
  /// Where a code is: its byte, its lowest bit in it, and what it is masked with.
  struct place {
    std::size_t byte;
    std::uint32_t shift, flip;
  };
  static constexpr place key_at(std::size_t lane, std::size_t k) {
    const std::size_t in_row = k % row_elements;
    return {k / row_elements * row_bytes + 4 * lane + in_row % 4, in_row >= 4 ? 4u : 0u, key_bias};
  }
  static constexpr place value_at(std::size_t head_dim, std::size_t lane, std::size_t k) {
    constexpr std::size_t columns = block_bytes / 2;
    const std::size_t in_block = k % block;
    return {(lane / 2 * blocks(head_dim) + k / block) * block_bytes + 2 * (in_block % columns) +
                lane % 2,
            in_block >= columns ? 4u : 0u, 0};
  }

  static std::int32_t get(const storage* tile, place at) {
    constexpr std::uint32_t mask = (1u << C::bits) - 1, sign = 1u << (C::bits - 1);
    const std::uint32_t field = static_cast<std::uint8_t>(tile[at.byte]) >> at.shift & mask;
    return static_cast<std::int32_t>(field ^ at.flip ^ sign) - static_cast<std::int32_t>(sign);
  }
  static void set(storage* tile, place at, std::int32_t code) {
    constexpr std::uint32_t mask = (1u << C::bits) - 1;
    const std::uint32_t field = (static_cast<std::uint32_t>(code) & mask) ^ at.flip;
    const std::uint32_t rest = static_cast<std::uint8_t>(tile[at.byte]) & ~(mask << at.shift);
    tile[at.byte] = static_cast<storage>(rest | field << at.shift);
  }
  static float number(const storage* tile, place at, scale s) {
    return static_cast<float>(get(tile, at)) * to_float(s);
  }

  template <class Byte>
  static auto scales_at(Byte* p) {
    if constexpr (std::is_const_v<Byte>)
      return reinterpret_cast<const scale*>(p);
    else
      return reinterpret_cast<scale*>(p);
  }

  /// Scales and codes of one lane, group by group; `padded` elements are written.
  template <class At>
  static void put(storage* tile, std::size_t head_dim, std::size_t padded, std::size_t lane,
                  const float* x, scale* scales, At at) {
    for (std::size_t g = 0; g < groups(head_dim); ++g) {
      const std::size_t first = g * C::group, last = std::min(first + C::group, padded),
                        numbers = std::min(last, head_dim);
      const scale s = round_to<scale>(C::scale_for(extreme(x + first, numbers - first)));
      const float inverse = to_float(s) == 0 ? 0.0f : 1.0f / to_float(s);
      scales[g * tile_lanes + lane] = s;
      for (std::size_t k = first; k < last; ++k) {
        const std::int32_t nearest = k < numbers ? simd::round_to_int16(x[k], inverse) : 0;
        set(tile, at(k), std::clamp(nearest, C::least, C::most));
      }
    }
  }

  /// The number of the largest magnitude; NaN if one of them is NaN or infinite.
  static float extreme(const float* x, std::size_t n) {
    float most = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
      if (std::abs(x[i]) > std::abs(most)) most = x[i];
    }
    return std::abs(most) < 0x1p-100f ? 0.0f : most;
  }
};

}  // namespace weir::inline WEIR_TARGET
