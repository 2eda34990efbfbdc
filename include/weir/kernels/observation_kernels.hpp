// What rows saw, and what policies make of it.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/noisy_softmax.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/length_dots.hpp>
#include <weir/kernels/cpu/noisy_softmax.hpp>
#include <weir/kernels/cpu/raw_attention.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See the functions of the same names in kernels/cpu/: raw_attention.hpp, noisy_softmax.hpp,
/// length_dots.hpp.
struct observation_kernels {
  static constexpr std::size_t number = 2;

  /// Whichever of `mean` and `most` is null is left out.
  void (*row_probabilities)(const float* weight, float* largest, std::size_t tile_stride,
                            const float* total, std::size_t group, std::size_t tiles, float* mean,
                            float* most);
  void (*add_noisy_softmax)(const noisy_softmax& job);
  void (*length_dots)(const float* squares, const float* weights, std::size_t rows, std::size_t n,
                      float* out);
};

#if !defined(WEIR_COMPILED)
template <class A>
struct kernel_group<observation_kernels, A> {
  static constexpr observation_kernels value{.row_probabilities = &cpu::row_probabilities<A>,
                                             .add_noisy_softmax = &cpu::add_noisy_softmax<A>,
                                             .length_dots = &cpu::length_dots<A>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
