// Writing keys and values to tiles, one token of one KV head at a time, and reading them back.
#pragma once

#include <algorithm>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/round_pair.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/simd/half.hpp>

namespace weir::inline WEIR_TARGET {

/// Writes the key `x[head_dim]` to a lane of `tile`: the two elements of a RoPE pair together,
/// those that never turn each to the nearest. The same to `copy` `[head_dim]`, unless that is null.
/// O(head_dim).
template <storage_number T, class A = simd::native>
void encode_key(T* tile, std::size_t lane, const float* x, std::size_t head_dim,
                const rope_shape& rope, T* copy = nullptr) {
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
}
template <integer_codec C, class A = simd::native>
void encode_key(std::int8_t* tile, std::size_t lane, const float* x, std::size_t head_dim,
                const rope_shape&) {
  kv_tiles<C>::put_key(tile, head_dim, lane, x);
}

/// Writes the value `x[head_dim]`. O(head_dim).
template <storage_number T, class A = simd::native>
void encode_value(T* tile, std::size_t lane, const float* x, std::size_t head_dim) {
  simd::round_all<A>(x, head_dim, tile + lane * padded_head_dim(head_dim));
}
template <integer_codec C, class A = simd::native>
void encode_value(std::int8_t* tile, std::size_t lane, const float* x, std::size_t head_dim) {
  kv_tiles<C>::put_value(tile, head_dim, lane, x);
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
