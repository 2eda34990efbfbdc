// Siblings drawn in one way, and a verifier whose rule is for another.
#include <weir/speculation/speculate.hpp>
#include <weir/speculation/verifiers/rejection_sampling.hpp>
#include "dice.hpp"

using weir::sibling_kind;

struct only_distinct : weir::rejection_sampling {
  static constexpr bool accepts(sibling_kind kind) {
    return kind == sibling_kind::without_replacement;
  }
  template <sibling_kind Kind>
  using state = weir::rejection_sampling::state<Kind>;
};

#ifdef WEIR_FAIL
using speculation = weir::speculate<dice<sibling_kind::independent>, only_distinct>;
#else
using speculation = weir::speculate<dice<sibling_kind::independent>, weir::rejection_sampling>;
#endif

#include "use_speculation.hpp"
