// Rows of activations: what a model's pass and a cache ask of an architecture.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/rope.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/norm.hpp>
#include <weir/kernels/cpu/rope.hpp>
#include <weir/kernels/cpu/swiglu.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See the functions of the same names in kernels/cpu/: norm.hpp, swiglu.hpp, rope.hpp.
struct row_kernels {
  static constexpr std::size_t number = 1;

  void (*rms_norm)(const float* x, const float* weight, std::size_t rows, std::size_t n,
                   float epsilon, float* out, executor& threads);
  void (*swiglu)(const float* gate, const float* up, std::size_t n, float* out, executor& threads);
  void (*rotate)(const rope_shape& shape, const float* in, float* out, std::size_t head_dim,
                 const float* cos, const float* sin, float scale);
};

#if !defined(WEIR_COMPILED)
template <class A>
struct kernel_group<row_kernels, A> {
  static constexpr row_kernels value{
      .rms_norm = &rms_norm<A>, .swiglu = &swiglu<A>, .rotate = &cpu::rotate<A>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
