// Draws behind each node what plain decoding would draw, and goes on where that was drafted. At
// temperature 0 this is greedy verification. As used by Lookahead: Zhao et al., arXiv 2312.12728.
//
// The same sequence as plain decoding, whatever was drafted, because a draw is a function of the
// stream index and the logits alone. A draft is accepted with the probability that the target gives
// it: right for drafts that are tokens (n-grams, tries, a drafter's best). Drafters that draw by
// the target's own noise are accepted more often: see draw_rule::gumbel in sampling.hpp.
#pragma once

#include <cstddef>

#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct sample_and_match {
  static constexpr guarantee level = guarantee::exact_sequence;
  static constexpr bool needs_distributions = false;
  static constexpr bool accepts(sibling_kind) { return true; }

  template <sibling_kind>
  struct state {
    state(const sample_and_match&, const verify_setup&) {}
    static std::size_t required_bytes(const sample_and_match&, const verify_setup&) { return 0; }

    template <class Target>
    void verify(const draft_tree& tree, Target& target, verification& out) {
      for (draft_tree::node at = 0;;) {
        out.extra = target.sample(at);
        at = tree.child_with(at, out.extra);
        if (at == draft_tree::none) return;
        target.go(at);
        out.path.push_back(at);
      }
    }
  };
};

}  // namespace weir::inline WEIR_TARGET
