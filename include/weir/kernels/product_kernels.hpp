// Products with weights: what a model's pass asks of an architecture.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/embed.hpp>
#include <weir/kernels/cpu/matmul.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See the functions of the same names in kernels/cpu/matmul.hpp and kernels/cpu/embed.hpp.
/// `scratch` has room for x: nobody catches what a kernel of another target throws.
struct product_kernels {
  static constexpr std::size_t number = 0;

  void (*matmul)(const matrix_view& w, const float* x, std::size_t rows, float* y,
                 const quantized_rows& scratch, executor& threads);
  void (*matmul_add)(const matrix_view& w, const float* x, std::size_t rows, float* y,
                     const quantized_rows& scratch, executor& threads);
  void (*load_row)(const matrix_view& w, std::size_t row, float* out);
};

#if !defined(WEIR_COMPILED)
template <class A>
struct kernel_group<product_kernels, A> {
  static constexpr product_kernels value{
      .matmul = &matmul<A>, .matmul_add = &matmul_add<A>, .load_row = &load_row<A>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
