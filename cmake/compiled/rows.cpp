// Rows of activations, what rows saw, and logits.
#include "kernel_set.hpp"

extern "C" {
constinit const weir::row_kernels WEIR_SYMBOL(rows) = weir_compiled::group<weir::row_kernels>;
constinit const weir::observation_kernels WEIR_SYMBOL(observations) =
    weir_compiled::group<weir::observation_kernels>;
constinit const weir::sampling_kernels WEIR_SYMBOL(sampling) =
    weir_compiled::group<weir::sampling_kernels>;
}
