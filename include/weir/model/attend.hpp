// The one place where a forward pass and a KV cache touch.
#pragma once

#include <cstddef>

#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Attention of one layer over the rows of a step: `attend(layer, q, k, v, out)`. q and out are
/// [row, query head, head_dim], k and v [row, KV head, head_dim]; q and k are not rotated: the
/// cache does that. Called once for each layer, layers rising.
using attend_ref = function_ref<void(std::size_t layer, const float* q, const float* k,
                                     const float* v, float* out)>;

}  // namespace weir::inline WEIR_TARGET
