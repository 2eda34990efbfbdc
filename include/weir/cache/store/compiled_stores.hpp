// Stores and passes over them of each codec and layout, which weir::compiled holds.
#pragma once

#include <weir/cache/attention/attention_pass.hpp>
#include <weir/cache/layout/contiguous.hpp>
#include <weir/cache/layout/paged.hpp>
#include <weir/cache/store/kv_store.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_tiles.hpp>
#include <weir/simd/arch.hpp>

#if WEIR_DECLARED_ONLY

// `declare`: `extern template` for who uses them, `template` for who holds them.
#define WEIR_STORE(declare, codec, layout)                         \
  declare class kv_store<codec, layouts::layout, simd::preferred>; \
  declare class attention_pass<kv_store<codec, layouts::layout, simd::preferred>, simd::preferred>;
#define WEIR_STORES(declare)            \
  WEIR_STORE(declare, f32, contiguous)  \
  WEIR_STORE(declare, f32, paged)       \
  WEIR_STORE(declare, f16, contiguous)  \
  WEIR_STORE(declare, f16, paged)       \
  WEIR_STORE(declare, bf16, contiguous) \
  WEIR_STORE(declare, bf16, paged)      \
  WEIR_STORE(declare, int8, contiguous) \
  WEIR_STORE(declare, int8, paged)      \
  WEIR_STORE(declare, int4, contiguous) \
  WEIR_STORE(declare, int4, paged)

namespace weir::inline WEIR_TARGET {

WEIR_STORES(extern template)

}  // namespace weir::inline WEIR_TARGET

#endif
