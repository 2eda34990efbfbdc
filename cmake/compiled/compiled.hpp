// Matrix products and stores, which most of this project's own programs use: compiled once, in the
// library weir_compiled, whose users include this header before all others.
#pragma once

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/kv_store.hpp>
#include <weir/cache/layout/concept.hpp>
#include <weir/kernels/cpu/matmul.hpp>

extern template void weir::detail::matmul<weir::simd::native>(const weir::matrix_view&,
                                                              const float*, std::size_t, float*,
                                                              const weir::quantized_rows&,
                                                              weir::executor&, bool);
extern template class weir::kv_store<weir::f32, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::f16, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::bf16, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::int8, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::int4, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::f32, weir::layouts::paged>;
extern template class weir::kv_store<weir::f16, weir::layouts::paged>;
