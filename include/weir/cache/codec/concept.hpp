// Codecs: how a key or value is written in memory. Each token by itself, at once.
//
// The five there are, f32, f16, bf16, int8 and int4, are types for which there is
//
//   kv_tiles<C>                   what tiles of it look like, and how one is read: kernels/
//   encode_key, encode_value      write one token's `[head_dim]` to a lane: kernels/cpu/encode.hpp
//   cpu::tile_reader<A, R, C>     scores and weighted values, decoded inside the dot product
//
// Bytes an element: f32 4, f16 and bf16 2, int8 1 and 4 for each key or value, int4 1/2 and 2 for
// each 32 elements.
#pragma once

#include <weir/core/target.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/kv_tiles.hpp>

namespace weir::inline WEIR_TARGET {

template <class C>
concept kv_codec = storage_number<C> || integer_codec<C>;

}  // namespace weir::inline WEIR_TARGET
