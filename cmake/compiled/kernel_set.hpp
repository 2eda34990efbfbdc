// The kernels of weir::compiled for one instruction set, which WEIR_ISA names.
//
// Its parts are compiled for that instruction set, without WEIR_COMPILED: whatever they define lies
// in the instruction set's inline namespace, or is one of the C symbols that follow.
#pragma once

#include <weir/kernels/attention_kernels.hpp>
#include <weir/kernels/key_kernels.hpp>
#include <weir/kernels/observation_kernels.hpp>
#include <weir/kernels/product_kernels.hpp>
#include <weir/kernels/row_kernels.hpp>
#include <weir/kernels/sampling_kernels.hpp>
#include <weir/simd/simd.hpp>

#define WEIR_SYMBOL_OF(isa, name) weir_##isa##_##name
#define WEIR_SYMBOL_IN(isa, name) WEIR_SYMBOL_OF(isa, name)
/// A C symbol of this instruction set.
#define WEIR_SYMBOL(name) WEIR_SYMBOL_IN(WEIR_ISA, name)

extern "C" {
extern const weir::product_kernels WEIR_SYMBOL(products);
extern const weir::row_kernels WEIR_SYMBOL(rows);
extern const weir::observation_kernels WEIR_SYMBOL(observations);
extern const weir::sampling_kernels WEIR_SYMBOL(sampling);
extern const weir::attention_kernels<weir::f32> WEIR_SYMBOL(attention_f32);
extern const weir::attention_kernels<weir::f16> WEIR_SYMBOL(attention_f16);
extern const weir::attention_kernels<weir::bf16> WEIR_SYMBOL(attention_bf16);
extern const weir::attention_kernels<weir::int8> WEIR_SYMBOL(attention_int8);
extern const weir::attention_kernels<weir::int4> WEIR_SYMBOL(attention_int4);
extern const weir::key_kernels<weir::f32> WEIR_SYMBOL(keys_f32);
extern const weir::key_kernels<weir::f16> WEIR_SYMBOL(keys_f16);
extern const weir::key_kernels<weir::bf16> WEIR_SYMBOL(keys_bf16);
extern const weir::key_kernels<weir::int8> WEIR_SYMBOL(keys_int8);
extern const weir::key_kernels<weir::int4> WEIR_SYMBOL(keys_int4);
}

namespace weir_compiled {

template <class Group>
constexpr const Group& group = weir::kernel_group<Group, weir::simd::native>::value;

}  // namespace weir_compiled
