// Sliding window: the last tokens of the stream, the row's own among them.
#pragma once

#include <weir/cache/eviction/concept.hpp>

namespace weir {

struct window {
  std::size_t budget = 0;
  static constexpr claimed_end end = claimed_end::last;
};

static_assert(positional_claim<window>);

}  // namespace weir
