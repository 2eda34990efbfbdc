// Writing keys and values to tiles, one token of one KV head at a time, and reading them back.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/round_pair.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/simd/bits_as.hpp>
#include <weir/simd/half.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

/// Finite numbers of `x[n]` beyond `most` in magnitude. O(n).
template <class A = simd::native>
std::size_t count_beyond(const float* x, std::size_t n, float most) {
  using integers = simd::ints<A>;
  constexpr std::size_t lanes = simd::lanes<A>;
  const integers limit(std::bit_cast<std::int32_t>(most)), infinite(0x7F800000);
  integers minus(0);
  const std::size_t whole = n - n % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    const integers magnitude = simd::bits_as<integers>(simd::load<A>(x + i)) & integers(0x7FFFFFFF);
    minus = minus + (simd::is_less<A>(limit, magnitude) & simd::is_less<A>(magnitude, infinite));
  }
  alignas(64) std::int32_t each[lanes];
  minus.store_aligned(each);
  std::size_t count = 0;
  for (const std::int32_t l : each) count += static_cast<std::size_t>(-l);
  for (std::size_t i = whole; i < n; ++i) count += std::abs(x[i]) > most && std::isfinite(x[i]);
  return count;
}

/// Numbers as a codec can hold them: finite ones beyond its largest become the largest.
template <class C, class A>
class held_numbers {
 public:
  held_numbers(const float* x, std::size_t n) : x_(x) {
    if constexpr (largest_held<C> == std::numeric_limits<float>::max()) return;
    cut_ = count_beyond<A>(x, n, largest_held<C>);
    if (cut_ == 0) return;
    for (std::size_t i = 0; i < n; ++i)
      room_[i] = std::isfinite(x[i]) ? std::clamp(x[i], -largest_held<C>, largest_held<C>) : x[i];
    x_ = room_;
  }
  held_numbers(const held_numbers&) = delete;
  const float* data() const { return x_; }
  /// How many were beyond it.
  std::size_t cut() const { return cut_; }

 private:
  const float* x_;
  std::size_t cut_ = 0;
  float room_[max_head_dim];
};

/// Writes the key `numbers[head_dim]` to a lane of `tile`: the two elements of a RoPE pair
/// together, those that never turn each to the nearest. The same to `copy` `[head_dim]`, unless
/// that is null. Returns how many numbers were cut to the largest that the codec holds.
/// O(head_dim).
template <storage_number T, class A = simd::native>
std::size_t encode_key(T* tile, std::size_t lane, const float* numbers, std::size_t head_dim,
                       const rope_shape& rope, T* copy = nullptr) {
  const held_numbers<T, A> held(numbers, head_dim);
  const float* const x = held.data();
  const std::size_t pairs = rope.dims / 2;
  float x0[max_head_dim / 2], x1[max_head_dim / 2];
  T code0[max_head_dim / 2], code1[max_head_dim / 2];
  for (std::size_t i = 0; i < pairs; ++i) {
    const auto [a, b] = rope.elements(i);
    x0[i] = x[a], x1[i] = x[b];
  }
  if (pairs > 0) round_pairs<A>(x0, x1, pairs, code0, code1);  // else there is nothing in them
  const auto write = [&](T* out, std::size_t stride) {
    for (std::size_t i = 0; i < pairs; ++i) {
      const auto [a, b] = rope.elements(i);
      out[a * stride] = code0[i], out[b * stride] = code1[i];
    }
    for (std::size_t i = rope.dims; i < head_dim; ++i) out[i * stride] = round_to<T>(x[i]);
  };
  if (copy != nullptr) {  // before the tile, whose cache lines take long to come
    T together[max_head_dim];
    write(together, 1);
    std::copy_n(together, head_dim, copy);
  }
  write(tile + lane, tile_lanes);
  return held.cut();
}
template <integer_codec C, class A = simd::native>
std::size_t encode_key(std::int8_t* tile, std::size_t lane, const float* x, std::size_t head_dim,
                       const rope_shape&) {
  const held_numbers<C, A> held(x, head_dim);
  kv_tiles<C>::put_key(tile, head_dim, lane, held.data());
  return held.cut();
}

/// Writes the value `x[head_dim]`, and returns what encode_key returns. O(head_dim).
template <storage_number T, class A = simd::native>
std::size_t encode_value(T* tile, std::size_t lane, const float* x, std::size_t head_dim) {
  const held_numbers<T, A> held(x, head_dim);
  simd::round_all<A>(held.data(), head_dim, tile + lane * padded_head_dim(head_dim));
  return held.cut();
}
template <integer_codec C, class A = simd::native>
std::size_t encode_value(std::int8_t* tile, std::size_t lane, const float* x,
                         std::size_t head_dim) {
  const held_numbers<C, A> held(x, head_dim);
  kv_tiles<C>::put_value(tile, head_dim, lane, held.data());
  return held.cut();
}

/// Decodes `n` numbers that lie side by side. O(n).
template <class A = simd::native, storage_number T>
void decode(const T* stored, std::size_t n, float* out) {
  std::size_t k = 0;
  for (constexpr std::size_t w = simd::lanes<A>; k + w <= n; k += w)
    simd::store<A>(out + k, simd::load<A>(stored + k));
  for (; k < n; ++k) out[k] = to_float(stored[k]);
}

/// Decodes a key `[head_dim]` of one lane. O(head_dim).
template <storage_number T, class A = simd::native>
void decode_key(const T* tile, std::size_t head_dim, std::size_t lane, float* out) {
  T stored[max_head_dim];  // together first: numbers are converted a register at a time
  for (std::size_t k = 0; k < head_dim; ++k) stored[k] = tile[k * tile_lanes + lane];
  decode<A>(stored, head_dim, out);
}
template <integer_codec C, class A = simd::native>
void decode_key(const std::int8_t* tile, std::size_t head_dim, std::size_t lane, float* out) {
  for (std::size_t k = 0; k < head_dim; ++k) out[k] = kv_tiles<C>::key(tile, head_dim, lane, k);
}

/// Decodes a value `[head_dim]` of one lane. O(head_dim).
template <storage_number T, class A = simd::native>
void decode_value(const T* tile, std::size_t head_dim, std::size_t lane, float* out) {
  decode<A>(tile + lane * padded_head_dim(head_dim), head_dim, out);
}
template <integer_codec C, class A = simd::native>
void decode_value(const std::int8_t* tile, std::size_t head_dim, std::size_t lane, float* out) {
  for (std::size_t k = 0; k < head_dim; ++k) out[k] = kv_tiles<C>::value(tile, head_dim, lane, k);
}

}  // namespace weir::inline WEIR_TARGET
