// Bodies of sampling/gumbel.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/sampling_kernels.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE double minus_log(double u) {
  // u = 2^e · m with m in [√½, √2), and log m = 2 artanh s, as a series.
  int e = 0;
  double m = std::frexp(u, &e);
  if (m < 0x1.6a09e667f3bcdp-1) m *= 2, --e;
  const double s = (m - 1) / (m + 1), z = s * s;
  double series = 0;
  for (int k = 23; k > 1; k -= 2) series = (series + 1.0 / k) * z;
  constexpr double ln2 = 0x1.62e42fefa39efp-1;
  return -(e * ln2 + (2 * s + 2 * s * series));
}

}  // namespace detail

WEIR_INLINE token_id draw_gumbel(std::span<const token_probability> tokens,
                                 const random_source& random, std::uint64_t index) {
  constexpr std::size_t together = 64;
  // The largest log p_i + G_i is where −log(U_i) / p_i is smallest: one logarithm, and small
  // probabilities lose nothing to rounding.
  const std::uint64_t noise = random.bits(purpose::sampling, index, 1);  // 0: the inverse CDF's
  token_id first = tokens.front().token;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t at = 0; at < tokens.size(); at += together) {
    const std::size_t n = std::min(together, tokens.size() - at);
    std::uint64_t ids[together], bits[together];
    for (std::size_t l = 0; l < n; ++l) ids[l] = static_cast<std::uint64_t>(tokens[at + l].token);
    kernels<sampling_kernels>().token_noise(ids, n, noise, bits);
    for (std::size_t l = 0; l < n; ++l) {
      // The middles of 2^52 equal parts.
      const double u = (static_cast<double>(bits[l] >> 12) + 0.5) * 0x1p-52;
      const double p = double{tokens[at + l].probability};
      // −log u ≥ 1 − u, so most tokens need no logarithm. The margin is for what is rounded.
      if (1 - u > least * p * (1 + 0x1p-40)) continue;
      const double x = detail::minus_log(u) / p;
      if (x < least) least = x, first = tokens[at + l].token;
    }
  }
  return first;
}

}  // namespace weir::inline WEIR_TARGET
