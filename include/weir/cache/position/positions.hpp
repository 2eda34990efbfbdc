// Positions: which RoPE position a kept token has.
//
// A way to number positions says
//   renumbers   true: a row sees the entries it reads at 0 … n−1 (StreamingLLM, arXiv 2309.17453,
//               section 3.2); false: at their stream indices, with the gaps eviction left.
#pragma once

#include <concepts>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

namespace positions {

/// Every token keeps its stream index as its position. Distances grow with the stream.
struct original {
  static constexpr bool renumbers = false;
};

/// A row numbers the entries it reads 0 … n−1, itself last. No distance ever exceeds the budget,
/// so a stream may run past the trained context. Costs one more query rotation per row where
/// eviction looks only at positions, and a rotation per key read where it does not.
struct within_cache {
  static constexpr bool renumbers = true;
};

}  // namespace positions

template <class P>
concept position_policy = requires {
  { P::renumbers } -> std::convertible_to<bool>;
};

}  // namespace weir::inline WEIR_TARGET
