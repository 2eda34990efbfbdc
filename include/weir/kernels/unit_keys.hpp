// Keys scaled to length 1 and rounded to 15 bits behind the point, to find like ones. Products are
// integers: the same on every machine, equal where keys are, and twice as fast as products of f32.
// Cosines come out right to about 1e-5.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <weir/core/index.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/simd/kv_dots.hpp>

namespace weir {

/// Elements in units of 1 / 32767, so that the sum of products of two keys stays below 2^31.
struct unit_key {
  static constexpr float one = 32767;
  std::array<std::int16_t, max_head_dim + 1> x = {};  ///< zeros behind the last element

  /// `key` `[head_dim]`; inverse_norm: 1 / its norm, or 0 of a key without direction.
  void round(const float* key, std::size_t head_dim, float inverse_norm) {
    for (std::size_t k = 0; k < head_dim; ++k)
      x[k] = simd::round_to_int16(key[k], inverse_norm * one);
  }
  /// What a sum of products stands for.
  static float cosine(std::int32_t sum) { return static_cast<float>(sum) / (one * one); }
};

/// Keys that are compared with all others in one pass.
inline constexpr std::size_t compared_at_once = 32;
using unit_keys = std::array<unit_key, compared_at_once>;

/// The key that is most like another one.
struct similar_key {
  slot at;
  float cosine = 0;
};

}  // namespace weir
