// Random tokens: the control that every other policy should beat.
//
// An entry's score is drawn once, for its seed, layer, KV head and stream index: were it drawn anew
// at each boundary, every boundary would be a lottery that old tokens must win again.
#pragma once

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct random_tokens {
  std::size_t budget = 0;
  std::uint64_t seed = 0;

  std::size_t notes(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    const random_source head{seed, std::uint64_t{view.layer()} << 32 | view.kv_head()};
    view.note(s) = static_cast<float>(head.uniform(purpose::scoring, view.index(s).value));
  }

  float score(const slots_view& view, slot s) const { return view.note(s); }
};

static_assert(eviction_policy<random_tokens> && has_on_append<random_tokens>);

}  // namespace weir::inline WEIR_TARGET
