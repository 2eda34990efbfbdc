// Numbers beyond what a codec holds. f16 ends at 65,504, and keys of real models go beyond it, by
// biases and by channels of their own: cut off there, they are another function.
//
// A power of two for each (layer, KV head) brings them in: stored = number / 2^e, queries · 2^e,
// outputs · 2^e. Powers of two round nothing. e follows from how large the model says its keys and
// values get, which is known before the first token: no chunk and no draft can change it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// What a cache does about finite numbers beyond the largest that its codec holds: ±65,504 of f16,
/// ±3.39 · 10^38 of bf16, int8 and int4.
enum class overflow {
  refuse,  ///< error::overflow, from `attend` or, of a draft that was right, `commit`
  warn,    ///< they become the largest, and cache_stats.cut counts them
  scale,   ///< cache_options.ranges choose the scales; what is beyond all the same is refused
};

/// The powers of two of a store.
class kv_scales {
 public:
  kv_scales() = default;
  /// `ranges` `[layer, kv_head]`, or empty.
  explicit kv_scales(std::span<const kv_range> ranges) {
    for (const kv_range& r : ranges)
      by_head_.push_back({factor(exponent(r.key)), factor(exponent(r.value))});
  }

  /// What a stored key, and a value, is multiplied with to be what was meant. 1 for most models.
  float key(std::size_t head_index) const {
    return by_head_.empty() ? 1 : by_head_[head_index].key;
  }
  float value(std::size_t head_index) const {
    return by_head_.empty() ? 1 : by_head_[head_index].value;
  }

  /// e for numbers up to `range`: 0 from 1 to 2^15, which every codec holds, √2 as large too, as a
  /// pair of elements may become when it is turned; else what brings them to the nearer end.
  static int exponent(float range) {
    if (!(range > 0) || range == std::numeric_limits<float>::infinity()) return 0;
    const int e = std::ilogb(range);
    return std::max(e < 0 ? e : std::max(e - 14, 0), -64);
  }

 private:
  struct factors {
    float key, value;
  };
  static float factor(int e) { return std::ldexp(1.0f, e); }

  std::vector<factors> by_head_;
};

/// `x[n]` divided by a power of two, in `room` `[n]` unless that is 1. A number that would become
/// infinite stays finite. O(n).
inline const float* divided(const float* x, std::size_t n, float power, float* room) {
  if (power == 1) return x;
  constexpr float most = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < n; ++i) {
    const float y = x[i] / power;
    room[i] = std::isinf(y) && !std::isinf(x[i]) ? std::copysign(most, y) : y;
  }
  return room;
}
/// Multiplies `x[n]` with a power of two. O(n).
inline void multiply(float* x, std::size_t n, float power) {
  if (power == 1) return;
  for (std::size_t i = 0; i < n; ++i) x[i] *= power;
}

/// Throws error::bad_config unless there is a range of 0 or more for each KV head of each layer, or
/// none at all.
inline void require_ranges(std::span<const kv_range> ranges, const kv_shape& shape) {
  using error::bad_config, error::require;
  require<bad_config>(ranges.empty() || ranges.size() == shape.total_kv_heads(),
                      "cache_options.ranges: ", ranges.size(), " (expected none, or ",
                      shape.total_kv_heads(), ": one for each KV head of each layer)");
  for (std::size_t i = 0; i < ranges.size(); ++i)
    require<bad_config>(ranges[i].key >= 0 && ranges[i].value >= 0,
                        "cache_options.ranges: ", ranges[i].key, " and ", ranges[i].value,
                        " of layer ", i / shape.kv_heads, ", KV head ", i % shape.kv_heads,
                        " (expected 0 or more)");
}

}  // namespace weir::inline WEIR_TARGET
