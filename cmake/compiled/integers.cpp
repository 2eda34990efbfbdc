// Attention over integers, and what policies ask of keys that are integers.
#include "kernel_set.hpp"

extern "C" {
constinit const weir::attention_kernels<weir::int8> WEIR_SYMBOL(attention_int8) =
    weir_compiled::group<weir::attention_kernels<weir::int8>>;
constinit const weir::attention_kernels<weir::int4> WEIR_SYMBOL(attention_int4) =
    weir_compiled::group<weir::attention_kernels<weir::int4>>;
constinit const weir::key_kernels<weir::int8> WEIR_SYMBOL(keys_int8) =
    weir_compiled::group<weir::key_kernels<weir::int8>>;
constinit const weir::key_kernels<weir::int4> WEIR_SYMBOL(keys_int4) =
    weir_compiled::group<weir::key_kernels<weir::int4>>;
}
