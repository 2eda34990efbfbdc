// Writing keys and values.
#pragma once

#include <algorithm>
#include <cstddef>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/codec/round_pair.hpp>
#include <weir/core/target.hpp>
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

}  // namespace weir::inline WEIR_TARGET
