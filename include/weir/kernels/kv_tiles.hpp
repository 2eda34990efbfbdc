// What a tile of keys and a tile of values look like in memory, for each codec.
//
// A tile holds 32 lanes, one token each, of one KV head. `kv_tiles<Codec>` provides
//   storage                                   what a tile is an array of
//   key_size(head_dim), value_size(head_dim)  how many of them a tile takes
//   key(tile, head_dim, lane, k)              decodes one element; defines the format
//   value(tile, head_dim, lane, k)
//   copy_key, copy_value                      move one lane, as it is
// Lanes share no byte, so that threads may write different lanes of a tile.
#pragma once

#include <concepts>
#include <cstddef>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

template <class Codec>
struct kv_tiles;

template <class T>
concept storage_number = std::same_as<T, f32> || std::same_as<T, f16> || std::same_as<T, bf16>;

/// Numbers. Keys lie transposed, `[head_dim, 32]`, so that a tile's scores come out as vectors
/// without horizontal sums; values lie token-major, `[32, padded head_dim]`.
template <storage_number T>
struct kv_tiles<T> {
  using storage = T;

  static constexpr std::size_t key_size(std::size_t head_dim) { return head_dim * tile_lanes; }
  static constexpr std::size_t value_size(std::size_t head_dim) {
    return tile_lanes * padded_head_dim(head_dim);
  }
  static float key(const T* tile, std::size_t, std::size_t lane, std::size_t k) {
    return to_float(tile[k * tile_lanes + lane]);
  }
  static float value(const T* tile, std::size_t head_dim, std::size_t lane, std::size_t k) {
    return to_float(tile[lane * padded_head_dim(head_dim) + k]);
  }
  static void copy_key(const T* from, std::size_t from_lane, T* to, std::size_t to_lane,
                       std::size_t head_dim) {
    for (std::size_t k = 0; k < head_dim; ++k)
      to[k * tile_lanes + to_lane] = from[k * tile_lanes + from_lane];
  }
  static void copy_value(const T* from, std::size_t from_lane, T* to, std::size_t to_lane,
                         std::size_t head_dim) {
    const std::size_t padded = padded_head_dim(head_dim);
    for (std::size_t k = 0; k < padded; ++k)
      to[to_lane * padded + k] = from[from_lane * padded + k];
  }
};

}  // namespace weir::inline WEIR_TARGET
