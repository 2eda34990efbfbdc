// A softmax of noisy logits, added to notes: what Keyformer scores by (arXiv 2403.09054, section
// 3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What one row adds to the notes of a KV head's slots for some of the query heads that share it:
///
///   note[s] += Σ_h softmax_s((logit_h[s] + g_h[s]) / temperature) / group,
///
/// g standard Gumbel noise. Word h of a Philox block of 7 rounds with the counter
/// (index[s], counter) is the noise of slot s in head h.
struct noisy_softmax {
  static constexpr std::size_t max_heads = 4;  ///< words of a Philox block

  std::size_t heads = 0;  ///< 1, 2 or 4
  std::size_t slots = 0;  ///< a multiple of 16
  std::size_t group = 1;  ///< query heads that the mean is over
  float temperature = 1;
  const std::uint64_t* index = nullptr;             ///< [slot]
  std::array<const float*, max_heads> logits = {};  ///< [head][slot]
  std::array<std::uint32_t, 2> key = {}, counter = {};
  float* scratch = nullptr;  ///< [head, slot]
  float* notes = nullptr;    ///< [slot]
};

}  // namespace weir::inline WEIR_TARGET
