// Goes by the largest attention probability among the query heads that share a KV head, instead of
// their mean: one head that needs an entry is enough. Of sums and averages over rows, each row's
// largest counts. This is our rule: authors' code that has a maximum among its options (PyramidKV's
// is such) adds up each query head's rows first and takes the largest of these sums, which keeps
// other entries wherever heads differ. Works around any policy that is told probabilities.
#pragma once

#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

template <observing Base>
  requires(includes(Base::needs, signals::attention_probabilities))
struct by_largest : Base {
  static constexpr signals needs =
      without(Base::needs, signals::attention_probabilities) | signals::largest_probabilities;

  by_largest() = default;
  explicit by_largest(Base base) : Base(std::move(base)) {}

  void observe(const observed_row& row) const { Base::observe(row.by_largest()); }
};

}  // namespace weir::inline WEIR_TARGET
