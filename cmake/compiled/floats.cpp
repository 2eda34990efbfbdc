// Attention over numbers, and what policies ask of keys that are numbers.
#include "kernel_set.hpp"

extern "C" {
constinit const weir::attention_kernels<weir::f32> WEIR_SYMBOL(attention_f32) =
    weir_compiled::group<weir::attention_kernels<weir::f32>>;
constinit const weir::attention_kernels<weir::f16> WEIR_SYMBOL(attention_f16) =
    weir_compiled::group<weir::attention_kernels<weir::f16>>;
constinit const weir::attention_kernels<weir::bf16> WEIR_SYMBOL(attention_bf16) =
    weir_compiled::group<weir::attention_kernels<weir::bf16>>;
constinit const weir::key_kernels<weir::f32> WEIR_SYMBOL(keys_f32) =
    weir_compiled::group<weir::key_kernels<weir::f32>>;
constinit const weir::key_kernels<weir::f16> WEIR_SYMBOL(keys_f16) =
    weir_compiled::group<weir::key_kernels<weir::f16>>;
constinit const weir::key_kernels<weir::bf16> WEIR_SYMBOL(keys_bf16) =
    weir_compiled::group<weir::key_kernels<weir::bf16>>;
}
