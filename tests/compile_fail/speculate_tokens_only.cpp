// Siblings that are drawn, and a verifier that takes them for chosen ones.
#include <weir/speculation/speculate.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include "dice.hpp"

using weir::sibling_kind;

struct only_chosen : weir::rejection_sampling {
  static constexpr bool accepts(sibling_kind kind) { return kind == sibling_kind::point_mass; }
  template <sibling_kind Kind>
  using state = weir::rejection_sampling::state<Kind>;
};

#ifdef WEIR_FAIL
using speculation = weir::speculate<dice<sibling_kind::without_replacement>, only_chosen>;
#else
using speculation =
    weir::speculate<dice<sibling_kind::without_replacement>, weir::rejection_sampling>;
#endif

#include "use_speculation.hpp"
