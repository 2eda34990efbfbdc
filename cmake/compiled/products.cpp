// Products with weights.
#include "kernel_set.hpp"

extern "C" {
constinit const weir::product_kernels WEIR_SYMBOL(products) =
    weir_compiled::group<weir::product_kernels>;
}
