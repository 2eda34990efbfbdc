// Draws whose noise belongs to tokens.
//
// Gumbel-max: give every token i noise of its own, G_i = −log(−log U_i) with U_i uniform on (0, 1).
// The token with the largest log p_i + G_i is a draw from p (Gumbel 1954; Maddison, Tarlow, Minka,
// arXiv 1411.0030). Two distributions that are drawn from with the same noise, by two models that
// know nothing of each other, agree with probability Σ_i 1 / Σ_j max(p_j / p_i, q_j / q_i), which
// is at least (1 − d) / (1 + d) for a total variation of d (Daliri, Musco, Suresh, arXiv
// 2408.07978).
//
// So a drafter that shares its target's random_source drafts more of what the target will draw.
// That suits verification by drawing from the target and comparing. Rejection sampling needs drafts
// and acceptance that are independent: there a drafter must have randomness of its own.
#pragma once

#include <cstdint>
#include <span>

#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/sampling/sampling.hpp>

namespace weir::inline WEIR_TARGET {

/// Draws from `tokens`, which may be of any distribution and need not add up to 1; at least one,
/// ids rising. A token's noise depends on `random`, `index` and the token's id alone. On ties the
/// lower id. The same bits on every machine. O(tokens).
token_id draw_gumbel(std::span<const token_probability> tokens, const random_source& random,
                     std::uint64_t index);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/sampling/gumbel.inl.hpp>
#endif
