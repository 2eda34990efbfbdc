// Bodies of sampling/gumbel.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/core/elementary.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/kernels/sampling_kernels.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

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
      const double x = -elementary::log(u) / p;
      if (x < least) least = x, first = tokens[at + l].token;
    }
  }
  return first;
}

}  // namespace weir::inline WEIR_TARGET
