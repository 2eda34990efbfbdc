// Bodies of kernels/rope.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>

#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE rope_angles::rope_angles(rope_shape shape) : shape_(shape), step_(shape.dims / 2) {
  for (std::size_t i = 0; i < step_.size(); ++i) {
    const long double exponent = -2.0L * static_cast<long double>(i) / shape.dims;
    const long double turns = std::pow(static_cast<long double>(shape.base), exponent) /
                              (2 * std::numbers::pi_v<long double>);
    const long double part = std::roundl((turns - std::floor(turns)) * 0x1p64L);
    step_[i] = part < 0x1p64L ? static_cast<std::uint64_t>(part) : 0;
  }
}

WEIR_INLINE std::pair<float, float> rope_angles::cos_sin(std::size_t i, position p) const {
  // As a signed number the phase lies in [−1/2, 1/2) turns.
  const double angle = static_cast<double>(static_cast<std::int64_t>(phase(i, p))) *
                       (2 * std::numbers::pi * 0x1p-64);
  return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
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
