// Bodies of kernels/rope.hpp.
#pragma once

#include <cstddef>

#include <weir/core/double_double.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE rope_angles::rope_angles(rope_shape shape) : shape_(shape), step_(shape.dims / 2) {
  if (shape.dims == 0) return;
  // Pair i turns by e^(−2i/dims · log base − log 2π) turns.
  const double_double log_base = log(double_double{shape.base}), log_turn = log(two_pi);
  for (std::size_t i = 0; i < step_.size(); ++i)
    step_[i] = fraction_of_2_64(exp(log_base * double_double{-2.0 * static_cast<double>(i)} /
                                        static_cast<double>(shape.dims) +
                                    -log_turn));
}

WEIR_INLINE void rope_angles::factors(position p, float* cos, float* sin) const {
  for (std::size_t i = 0; i < pairs(); ++i) {
    const auto [c, s] = cos_sin(i, p);
    set_factors(i, c, s, cos, sin);
  }
}

WEIR_INLINE void rope_angles::set_factors(std::size_t i, float c, float s, float* cos,
                                          float* sin) const {
  const auto [a, b] = shape_.elements(i);
  cos[a] = cos[b] = c;
  sin[a] = -s;
  sin[b] = s;
}

}  // namespace weir::inline WEIR_TARGET
