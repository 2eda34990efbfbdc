// TOVA, token omission via attention: the entries that the newest row attends to most.
// arXiv 2401.06104, section 3.2.
//
// All heads of a layer decide together, by the mean of the newest row over them, and nothing is
// remembered from row to row.
//
// Deviations. The paper drops one token a row; here the list decides at boundaries, by the row
// before each, and cadence 1 is the paper's rule. As in the paper, the newest token may be dropped;
// a `window` of 1 ahead of this policy keeps it. The paper does not say whether kept tokens are
// renumbered; here either position policy does.
#pragma once

#include <algorithm>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct tova {
  std::size_t budget = 0;
  static constexpr signals needs = signals::attention_probabilities;
  static constexpr decision_scope scope = decision_scope::layer;

  std::size_t last_rows() const { return 1; }
  std::size_t notes(const kv_shape&) const { return 1; }

  void observe(const observed_row& row) const {
    std::ranges::copy(row.probabilities(), row.notes().begin());
  }

  float score(const slots_view& view, slot s) const { return view.note(s); }
};

static_assert(eviction_policy<tova> && observing<tova>);

}  // namespace weir::inline WEIR_TARGET
