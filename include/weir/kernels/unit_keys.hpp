// Keys scaled to length 1 and rounded to 15 bits behind the point, to find like ones. Products are
// integers: the same on every machine, equal where keys are, and twice as fast as products of f32.
// Cosines come out right to about 1e-5.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET {

/// Keys that are compared with all others in one pass, at most.
inline constexpr std::size_t compared_at_once = 64;

/// Elements in units of 1 / 32767, so that the sum of products of two keys stays below 2^31. Keys
/// lie in groups: `[group, element / 2, key of the group, element % 2]`, as they are read.
class unit_keys {
 public:
  static constexpr float one = 32767;
  static constexpr std::size_t group = 8;

  explicit unit_keys(std::size_t head_dim) : head_dim_(head_dim), pairs_((head_dim + 1) / 2) {}

  /// Adds `key` `[head_dim]`; inverse_norm: 1 / its norm, or 0 of a key without direction. Those
  /// that have yet to come to its group are zeros.
  void add(const float* key, float inverse_norm) {
    std::int16_t rounded[max_head_dim + 1];
    for (std::size_t k = 0; k < head_dim_; ++k)
      rounded[k] = simd::round_to_int16(key[k], inverse_norm * one);
    rounded[head_dim_] = 0;
    std::int16_t* to = &x_[place(size_, 0)];
    if (size_ % group == 0) std::fill_n(to, pairs_ * group * 2, std::int16_t{0});
    for (std::size_t i = 0; i < pairs_; ++i, to += group * 2)
      to[0] = rounded[2 * i], to[1] = rounded[2 * i + 1];
    ++size_;
  }
  std::size_t size() const { return size_; }
  /// Elements 2 i and 2 i + 1 of a key; those of the next key of its group follow.
  const std::int16_t* pair(std::size_t key, std::size_t i) const { return &x_[place(key, i)]; }
  std::int16_t operator()(std::size_t key, std::size_t k) const { return pair(key, k / 2)[k % 2]; }
  /// What a sum of products stands for.
  static float cosine(std::int32_t sum) { return static_cast<float>(sum) / (one * one); }

 private:
  std::size_t place(std::size_t key, std::size_t i) const {
    return ((key / group * pairs_ + i) * group + key % group) * 2;
  }

  std::size_t head_dim_, pairs_, size_ = 0;
  alignas(64) std::array<std::int16_t, compared_at_once*(max_head_dim + 1)> x_;
};

/// The key that is most like another one.
struct similar_key {
  slot at;
  float cosine = 0;
};

}  // namespace weir::inline WEIR_TARGET
