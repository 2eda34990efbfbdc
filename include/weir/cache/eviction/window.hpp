// Sliding window: the last tokens of the stream, the row's own among them. Alone it is what
// Meshtron (arXiv 2412.09548) keeps at each level, whose caches get every first, third and ninth
// token; that the window is a training segment, and a third of it at each next level, is our
// reading.
#pragma once

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct window {
  std::size_t budget = 0;
  static constexpr anchor end = anchor::last;
};

static_assert(positional_policy<window>);

}  // namespace weir::inline WEIR_TARGET
