// Attention sinks: the first tokens of the stream, on which models park the attention they do not
// need. StreamingLLM, arXiv 2309.17453, section 3. Four suffice for models trained without a
// dedicated sink token, one for models trained with one.
//
// Deviations. None in what stays, which the paper makes room for turn by turn and a window here row
// by row. Its "zero sink", a logit of 0 without a value, is not offered.
#pragma once

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct sinks {
  std::size_t budget = 4;
  static constexpr anchor end = anchor::first;
};

static_assert(positional_policy<sinks>);

}  // namespace weir::inline WEIR_TARGET
