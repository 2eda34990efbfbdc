// Compiles the products of one architecture.
#pragma once

#include <weir/kernels/cpu/matmul.hpp>
#include "support/products.hpp"

template <class Arch>
void weir_test::product(const weir::matrix_view& w, const float* x, std::size_t rows, float* y,
                        const weir::quantized_rows& rooms, weir::executor& threads, bool add) {
  if (add)
    weir::matmul_add<Arch>(w, x, rows, y, rooms, threads);
  else
    weir::matmul<Arch>(w, x, rows, y, rooms, threads);
}

#define WEIR_INSTANTIATE_PRODUCTS(arch)                                                        \
  template void weir_test::product<arch>(const weir::matrix_view&, const float*, std::size_t,  \
                                         float*, const weir::quantized_rows&, weir::executor&, \
                                         bool)
