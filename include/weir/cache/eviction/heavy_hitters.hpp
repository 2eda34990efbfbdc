// Heavy hitters: the entries that have gathered most attention. H2O, arXiv 2306.14048, section 4.
//
// Every row adds its attention probabilities to its entries, from an entry's own row on, and the
// largest sums stay. A `window` ahead of this policy in the list selects the recent tokens, which
// the paper never drops; half of the budget each is its choice.
//
// Deviations. The paper drops one token a row; here the list decides at boundaries, and cadence 1
// is the paper's rule. The authors' code asks for as many KV heads as query heads; here a KV head
// adds up the mean over its query heads, which ranks as the sum does. Their accuracy simulation
// sums over rows that come later, too, which no cache that really drops can do; this one cannot.
#pragma once

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What of an entry's attention counts. The plain sum favours old entries, which more rows could
/// read; later work divides by that number of rows.
enum class heavy_sum : std::uint8_t { plain, per_row };

struct heavy_hitters {
  std::size_t budget = 0;
  heavy_sum by = heavy_sum::plain;
  static constexpr signals needs = signals::attention_probabilities;

  std::size_t notes(const kv_shape&) const { return 1; }

  void observe(const observed_row& row) const {
    const float* const probability = row.probabilities().data();
    float* const sum = row.notes().data();
    const std::size_t n = row.slots();
    for (std::size_t s = 0; s < n; ++s) sum[s] += probability[s];
  }

  float score(const slots_view& view, slot s) const {
    const float sum = view.note(s);
    return by == heavy_sum::plain ? sum : sum / static_cast<float>(view.age(s));
  }
};

static_assert(eviction_policy<heavy_hitters> && observing<heavy_hitters>);

}  // namespace weir::inline WEIR_TARGET
