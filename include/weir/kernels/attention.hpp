// What every attention kernel shares: the online-softmax state, and what it is folded from.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <weir/core/target.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

/// The online-softmax state of one row: everything attention has seen, in a form that merges.
/// Milakov & Gimelshein, arXiv 1805.02867; FlashAttention, arXiv 2205.14135.
struct attention_state {
  /// m of a row that has read only scores of −∞, which weigh 0, or NaN.
  static constexpr float lowest_read = std::numeric_limits<float>::lowest();

  float m = -std::numeric_limits<float>::infinity();  ///< largest score, nats; never NaN
  float d = 0;                                        ///< Σ exp(score − m)
  float* o = nullptr;                                 ///< Σ exp(score − m) · value [padded]

  /// True for the identity of `merge`: nothing was read.
  bool empty() const { return m == -std::numeric_limits<float>::infinity(); }
};

/// out = o / d over `head_dim` elements; zeros for a row that read nothing. NaN where a score was,
/// or all were −∞, as softmax has it.
inline void finish(const attention_state& state, float* out, std::size_t head_dim) {
  const float inverse = state.empty() ? 0.0f : 1.0f / state.d;
  for (std::size_t i = 0; i < head_dim; ++i) out[i] = state.o[i] * inverse;
}

/// Turns raw keys as they are read, for caches whose keys are stored unrotated: lane l of a tile
/// is at rank[l], pair i of rank r has cosine `cos[i * stride + r]`.
struct rotate_on_read {
  const float* cos = nullptr;  ///< [pair, rank]
  const float* sin = nullptr;  ///< [pair, rank]
  std::size_t stride = 0;      ///< ranks a pair has
  std::size_t pairs = 0;
  bool interleaved = true;

  constexpr std::array<std::size_t, 2> elements(std::size_t i) const {
    if (interleaved) return {2 * i, 2 * i + 1};
    return {i, i + pairs};
  }
};

/// What one packed row leaves behind while it is folded, for policies that judge tokens by the
/// attention they get. Of each tile that the row reads: the weights exp(score − largest so far) and
/// that largest score, or the scores themselves; 0 and −∞ in lanes it does not read.
struct raw_attention {
  float* raw_weights = nullptr;  ///< [tile of the split, 32]; null: not wanted
  float* raw_scores = nullptr;   ///< [tile of the split, 32]; null: not wanted
  float* largest = nullptr;      ///< [tile of the split] null: nothing is wanted

  raw_attention of_split(std::size_t split) const {
    const auto moved = [split](float* at, std::size_t n) { return at ? at + split * n : nullptr; };
    return {moved(raw_weights, split_lanes), moved(raw_scores, split_lanes),
            moved(largest, split_tiles)};
  }
};

/// One query head's logits `[tile, 32]` as they were handed out: those of tiles that it did not
/// read become −∞. O(tiles · 32).
inline void clear_unread(float* score, const float* largest, std::size_t tiles) {
  constexpr float none = -std::numeric_limits<float>::infinity();
  for (std::size_t t = 0; t < tiles; ++t)
    if (largest[t] == none) std::fill_n(score + t * tile_lanes, tile_lanes, none);
}

/// One KV head's tiles and the packed query rows that read them.
template <class Codec>
struct attention_block {
  using tiles = kv_tiles<Codec>;
  using storage = typename tiles::storage;

  const storage* keys = nullptr;    ///< [page, key_size(head_dim)]
  const storage* values = nullptr;  ///< [page, value_size(head_dim)]
  std::size_t head_dim = 0;
  /// Scaled queries `[head_dim]` by variant and packed row.
  std::array<std::array<const float*, max_block_rows>, query_variants> query = {};
  /// Which step row of the block, and so which mask, a packed row belongs to.
  std::array<std::uint8_t, max_block_rows> step_row = {};
  std::array<raw_attention, max_block_rows> raw = {};  ///< by packed row
  const rotate_on_read* rotation = nullptr;            ///< null: keys are read as they lie
  const std::uint32_t* rank = nullptr;                 ///< [physical tile, 32], with `rotation`
  float key_scale = 1;  ///< stored keys · key_scale are what norms were taken of; a power of two

  const storage* key_tile(std::size_t page) const {
    return keys + page * tiles::key_size(head_dim);
  }
  const storage* value_tile(std::size_t page) const {
    return values + page * tiles::value_size(head_dim);
  }
};

}  // namespace weir::inline WEIR_TARGET
