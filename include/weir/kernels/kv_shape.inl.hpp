// Bodies of kernels/kv_shape.hpp.
#pragma once

#include <cmath>
#include <cstddef>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void validate(const kv_shape& s) {
  using error::bad_config, error::require;
  constexpr std::size_t most = std::size_t{1} << 20;  // so that no size in bytes can wrap
  require<bad_config>(s.layers > 0, "kv_shape.layers: 0 (expected at least 1)");
  require<bad_config>(
      s.layers <= most && s.q_heads <= most / s.layers && s.kv_heads <= most / s.layers,
      "kv_shape: ", s.layers, " layers of ", s.q_heads, " query and ", s.kv_heads,
      " KV heads (expected at most 2^20 heads of either kind over all layers)");
  require<bad_config>(s.kv_heads > 0 && s.q_heads > 0 && s.q_heads % s.kv_heads == 0,
                      "kv_shape: ", s.q_heads, " query heads over ", s.kv_heads,
                      " KV heads (expected a multiple, at least 1)");
  require<bad_config>(s.head_dim > 0 && s.head_dim <= max_head_dim,
                      "kv_shape.head_dim: ", s.head_dim, " (expected 1 to ", max_head_dim, ")");
  require<bad_config>(s.rope.dims % 2 == 0 && s.rope.dims <= s.head_dim,
                      "kv_shape.rope.dims: ", s.rope.dims, " (expected even, at most head_dim ",
                      s.head_dim, ")");
  require<bad_config>(
      s.rope.dims == 0 || (std::isfinite(s.rope.base) && s.rope.base >= least_rope_base),
      "kv_shape.rope.base: ", s.rope.base, " (expected finite and positive, at least 2^-52)");
  require<bad_config>(std::isfinite(s.scale), "kv_shape.scale: ", s.scale, " (expected finite)");
}

}  // namespace weir::inline WEIR_TARGET
