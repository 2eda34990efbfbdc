// Logits: what samplers ask of an architecture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/target.hpp>
#include <weir/kernels/kernel_group.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/logits.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See the functions of the same names in kernels/cpu/logits.hpp.
struct sampling_kernels {
  static constexpr std::size_t number = 3;

  float (*largest_logit)(std::span<const float> logits);
  double (*softmax_weights)(std::span<const float> logits, float largest, float temperature,
                            float* weights);
  void (*token_noise)(const std::uint64_t* ids, std::size_t n, std::uint64_t key,
                      std::uint64_t* bits);
};

#if !defined(WEIR_COMPILED)
template <class A>
struct kernel_group<sampling_kernels, A> {
  static constexpr sampling_kernels value{.largest_logit = &cpu::largest_logit<A>,
                                          .softmax_weights = &cpu::softmax_weights<A>,
                                          .token_noise = &cpu::token_noise<A>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
