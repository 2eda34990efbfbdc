// Key norms: the entries whose keys are shortest. "A Simple and Effective L2 Norm-Based Strategy
// for KV Cache Compression", arXiv 2406.11430, section 3.
//
// In trained models short keys go with high attention. A norm never changes, so it is taken once,
// and no attention is looked at.
//
// Deviation. The paper leaves some early layers uncompressed, as far as we know; here every layer
// has the same rule, and unequal budgets are another policy's affair.
#pragma once

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct key_norm {
  std::size_t budget = 0;
  static constexpr signals needs = signals::new_keys;

  std::size_t notes(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    view.note(s) = view.key_norm(s);
  }

  float score(const slots_view& view, slot s) const { return -view.note(s); }
};

static_assert(eviction_policy<key_norm> && has_on_append<key_norm>);

}  // namespace weir::inline WEIR_TARGET
