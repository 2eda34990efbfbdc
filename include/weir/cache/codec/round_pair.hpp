// Rounding the two elements of a RoPE pair together.
//
// What a pair adds to a score is |q| |k| cos(angle between them). Trained heads aim their queries
// (TriAttention, arXiv 2604.04921), and the angle decides between keys that are about
// equally long: an error across the key costs more than one along it. So of the four neighbours in
// storage, the pair takes the one whose error is least with the angle's part counted twice. On the
// test models this moves log-probabilities by about a fifth less than rounding each element to the
// nearest, at the same bytes; it holds for keys stored rotated and unrotated alike.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include <weir/core/half.hpp>

namespace weir {

namespace detail {

/// The representable number on the other side of `x` from `nearest`, which is x rounded.
template <class T>
T other_neighbour(T nearest, float x) {
  const bool beyond = std::abs(to_float(nearest)) > std::abs(x);
  return {static_cast<std::uint16_t>(beyond ? nearest.bits - 1 : nearest.bits + 1)};
}

}  // namespace detail

/// Encodes a pair. O(1). If one of them rounds to infinity or NaN, each element by itself.
template <class T>
std::pair<T, T> round_pair(float x, float y) {
  const T x0 = round_to<T>(x), y0 = round_to<T>(y);
  if (!std::isfinite(to_float(x0)) || !std::isfinite(to_float(y0))) return {x0, y0};
  const T x1 = detail::other_neighbour(x0, x), y1 = detail::other_neighbour(y0, y);
  const auto error = [x, y](T a, T b) {
    const float ex = to_float(a) - x, ey = to_float(b) - y;
    const float along = std::fma(ex, x, ey * y), across = std::fma(ex, y, -(ey * x));
    return std::fma(along, along, 2 * across * across);
  };
  std::pair<T, T> best{x0, y0};
  float least = error(x0, y0);
  for (const auto& [a, b] : {std::pair{x0, y1}, std::pair{x1, y0}, std::pair{x1, y1}}) {
    const float e = error(a, b);
    if (!(e < least)) continue;
    least = e;
    best = {a, b};
  }
  return best;
}

template <>
inline std::pair<float, float> round_pair<float>(float x, float y) {
  return {x, y};
}

}  // namespace weir
