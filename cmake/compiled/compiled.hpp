// Matrix products and stores, which most of this project's own programs use: compiled once, in the
// library weir_compiled, whose users include this header before all others.
#pragma once

#include <weir/cache/attention_pass.hpp>
#include <weir/cache/codec/concept.hpp>
#include <weir/cache/kv_store.hpp>
#include <weir/cache/layout/concept.hpp>
#include <weir/kernels/cpu/attention.hpp>
#include <weir/kernels/cpu/matmul.hpp>

// Keys and values of one codec and layout, and their attention.
#define WEIR_COMPILED_STORE(prefix, codec, layout)                                               \
  prefix template class weir::kv_store<weir::codec, weir::layouts::layout>;                      \
  prefix template class weir::attention_pass<weir::kv_store<weir::codec, weir::layouts::layout>, \
                                             weir::simd::native>;
#define WEIR_COMPILED_ATTENTION(prefix, codec)                                                 \
  prefix template void weir::cpu::fold<weir::simd::native>(weir::attention_block<weir::codec>, \
                                                           const weir::visit_list&,            \
                                                           weir::attention_state*, std::size_t);

#define WEIR_COMPILED_FLOATS(prefix)            \
  WEIR_COMPILED_ATTENTION(prefix, f32)          \
  WEIR_COMPILED_ATTENTION(prefix, f16)          \
  WEIR_COMPILED_ATTENTION(prefix, bf16)         \
  WEIR_COMPILED_STORE(prefix, f32, contiguous)  \
  WEIR_COMPILED_STORE(prefix, f16, contiguous)  \
  WEIR_COMPILED_STORE(prefix, bf16, contiguous) \
  WEIR_COMPILED_STORE(prefix, f32, paged)       \
  WEIR_COMPILED_STORE(prefix, f16, paged)
#define WEIR_COMPILED_INTEGERS(prefix)          \
  WEIR_COMPILED_ATTENTION(prefix, int8)         \
  WEIR_COMPILED_ATTENTION(prefix, int4)         \
  WEIR_COMPILED_STORE(prefix, int8, contiguous) \
  WEIR_COMPILED_STORE(prefix, int4, contiguous)
#define WEIR_COMPILED_PRODUCTS(prefix)                                                          \
  prefix template void weir::detail::matmul<weir::simd::native>(                                \
      const weir::matrix_view&, const float*, std::size_t, float*, const weir::quantized_rows&, \
      weir::executor&, bool);

WEIR_COMPILED_FLOATS(extern)
WEIR_COMPILED_INTEGERS(extern)
WEIR_COMPILED_PRODUCTS(extern)
