// A drafter and a verifier, as one policy of a decoder:
//
//   weir::stream_decoder<cache, weir::speculate<weir::prompt_lookup>>
#pragma once

#include <concepts>
#include <utility>

#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/no_drafts.hpp>
#include <weir/speculation/verifiers/sample_and_match.hpp>

namespace weir::inline WEIR_TARGET {

/// True if drafts made like this are exact under this verifier.
template <class Drafter, class Verifier>
inline constexpr bool fit_together = Verifier::accepts(Drafter::siblings);

namespace detail {

/// Apart, so that the sentence is all that compilers have to say.
template <class Drafter, class Verifier>
struct fitting {
  static_assert(fit_together<Drafter, Verifier>,
                "weir: this verifier is not exact for drafts made the way this drafter makes them "
                "(see Drafter::siblings, and Verifier::accepts)");
};

}  // namespace detail

template <drafter Drafter, verifier Verifier = sample_and_match>
struct speculate {
  static_assert(sizeof(detail::fitting<Drafter, Verifier>) > 0);

  using drafter_type = Drafter;
  using verifier_type = Verifier;
  using verifier_state = typename Verifier::template state<Drafter::siblings>;
  /// What is promised, relative to decoding without drafts.
  static constexpr guarantee level = Verifier::level;
  /// True if drafters have to leave the distributions that siblings were drawn from.
  static constexpr bool wants_distributions =
      Verifier::needs_distributions && (Drafter::siblings == sibling_kind::independent ||
                                        Drafter::siblings == sibling_kind::without_replacement);

  Drafter drafter = {};
  Verifier verifier = {};
};

/// Plain decoding.
using no_speculation = speculate<no_drafts>;

}  // namespace weir::inline WEIR_TARGET
