// Draws whose noise belongs to tokens.
//
// Gumbel-max: give every token i noise of its own, G_i = −log(−log U_i) with U_i uniform on (0, 1).
// The token with the largest log p_i + G_i is a draw from p (Gumbel 1954; Maddison, Tarlow, Minka,
// arXiv 1411.0030). Two laws that are drawn from with the same noise, by two models that know
// nothing of each other, agree with probability Σ_i 1 / Σ_j max(p_j / p_i, q_j / q_i), which is at
// least (1 − d) / (1 + d) for a total variation of d (Daliri, Musco, Suresh, arXiv 2408.07978).
//
// So a drafter that shares its target's random_source guesses more of what the target will draw.
// That suits verification by drawing from the target and comparing. Rejection sampling needs drafts
// and acceptance that are independent: there a drafter must have randomness of its own.
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
#include <weir/sampling/sampling.hpp>
#include <weir/simd/random.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

/// Draws from `tokens`, which may be of any law and need not add up to 1; at least one, ids rising.
/// A token's noise depends on `random`, `index` and the token's id alone. On ties the lower id. The
/// same bits on every machine. O(tokens).
inline token_id draw_gumbel(std::span<const token_probability> tokens, const random_source& random,
                            std::uint64_t index) {
  using arch = simd::native;
  constexpr std::size_t lanes = simd::lanes<arch>;
  // The largest log p_i + G_i is where −log(U_i) / p_i is smallest: one logarithm, and small
  // probabilities lose nothing to rounding.
  const std::uint64_t noise = random.bits(purpose::sampling, index, 1);  // 0: the inverse CDF's
  const simd::philox_key key(
      {static_cast<std::uint32_t>(noise), static_cast<std::uint32_t>(noise >> 32)});
  token_id first = tokens.front().token;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t at = 0; at < tokens.size(); at += lanes) {
    const std::size_t n = std::min(lanes, tokens.size() - at);
    std::uint64_t ids[lanes] = {};
    for (std::size_t l = 0; l < n; ++l) ids[l] = static_cast<std::uint64_t>(tokens[at + l].token);
    simd::ints<arch> words[4];
    simd::philox<arch>(ids, 0, 0, key, words);
    std::int32_t low[lanes], high[lanes];
    words[0].store_unaligned(low);
    words[1].store_unaligned(high);
    for (std::size_t l = 0; l < n; ++l) {
      const auto bits = std::uint64_t{static_cast<std::uint32_t>(high[l])} << 32 |
                        static_cast<std::uint32_t>(low[l]);
      // The middles of 2^52 equal parts.
      const double u = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
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
