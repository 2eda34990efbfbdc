// Writing keys and values.
#pragma once

#include <cstddef>
#include <tuple>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/codec/round_pair.hpp>
#include <weir/kernels/rope.hpp>

namespace weir {

/// Writes the key `x[head_dim]` to a lane of `tile`: the two elements of a RoPE pair together,
/// those that never turn each to the nearest. O(head_dim).
template <storage_number T>
void encode_key(T* tile, std::size_t lane, const float* x, std::size_t head_dim,
                const rope_shape& rope) {
  T* const out = tile + lane;
  for (std::size_t i = 0; i < rope.dims / 2; ++i) {
    const auto [a, b] = rope.elements(i);
    std::tie(out[a * tile_lanes], out[b * tile_lanes]) = round_pair<T>(x[a], x[b]);
  }
  for (std::size_t i = rope.dims; i < head_dim; ++i) out[i * tile_lanes] = round_to<T>(x[i]);
}
template <integer_codec C>
void encode_key(std::int8_t* tile, std::size_t lane, const float* x, std::size_t head_dim,
                const rope_shape&) {
  kv_tiles<C>::put_key(tile, head_dim, lane, x);
}

/// Writes the value `x[head_dim]`. O(head_dim).
template <storage_number T>
void encode_value(T* tile, std::size_t lane, const float* x, std::size_t head_dim) {
  T* const out = tile + lane * padded_head_dim(head_dim);
  for (std::size_t i = 0; i < head_dim; ++i) out[i] = round_to<T>(x[i]);
}
template <integer_codec C>
void encode_value(std::int8_t* tile, std::size_t lane, const float* x, std::size_t head_dim) {
  kv_tiles<C>::put_value(tile, head_dim, lane, x);
}

}  // namespace weir
