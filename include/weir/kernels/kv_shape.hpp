// The sizes of a model that a cache has to know.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET {

/// Largest head_dim: kernels keep a rotated tile and their states on the stack.
inline constexpr std::size_t max_head_dim = 512;

/// head_dim as outputs, and values that are numbers, are padded.
constexpr std::size_t padded_head_dim(std::size_t head_dim) { return (head_dim + 15) / 16 * 16; }

/// What a model asks of its cache. Plain numbers: fill them in by hand for a model of your own.
struct kv_shape {
  std::size_t layers = 0;
  std::size_t q_heads = 0;
  std::size_t kv_heads = 0;         ///< divides q_heads; q_heads / kv_heads queries share a KV head
  std::size_t head_dim = 0;         ///< at most max_head_dim
  rope_shape rope = {};             ///< dims == 0: q and k arrive rotated, or are never rotated
  std::size_t trained_context = 0;  ///< positions the model was trained on; 0: unknown
  float scale = 0;                  ///< of q·k; 0 stands for 1/√head_dim

  std::size_t group() const { return q_heads / kv_heads; }
  std::size_t total_kv_heads() const { return layers * kv_heads; }  ///< (layer, KV head) pairs
  float score_scale() const {
    return scale != 0 ? scale : 1.0f / std::sqrt(static_cast<float>(head_dim));
  }

  friend bool operator==(const kv_shape& a, const kv_shape& b) {
    return a.layers == b.layers && a.q_heads == b.q_heads && a.kv_heads == b.kv_heads &&
           a.head_dim == b.head_dim && a.rope.dims == b.rope.dims && a.rope.base == b.rope.base &&
           a.rope.pairing == b.rope.pairing && a.trained_context == b.trained_context &&
           a.scale == b.scale;
  }
};

/// How large the elements of a KV head's keys and values get, in magnitude, keys before they are
/// turned. 0: that is not known.
struct kv_range {
  float key = 0;
  float value = 0;
};

/// Throws error::bad_config unless the numbers fit together.
void validate(const kv_shape& s);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/kernels/kv_shape.inl.hpp>
#endif
