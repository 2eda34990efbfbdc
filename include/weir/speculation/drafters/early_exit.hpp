// The target's own first layers draft, with its output matrix behind them: self-speculation. What
// they compute of a draft is not computed again when the other layers verify it. Early exit as in
// LayerSkip: Elhoushi et al., arXiv 2404.16710.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

/// Drafts are drawn as the target's tokens are, with the same randomness.
struct early_exit {
  std::size_t layers = 1;  ///< the target's, from the first on
  std::size_t tokens = 4;  ///< drafts at most

  static constexpr sibling_kind siblings = sibling_kind::coupled;
  static constexpr bool drafts_in_target = true;
  std::size_t exit_layer() const { return layers; }
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  class state {
   public:
    state(const early_exit& settings, const draft_setup& setup)
        : sampler_(setup.sample, setup.vocabulary, settings.tokens), logits_(setup.vocabulary) {
      error::require<error::bad_config>(settings.layers > 0 && settings.layers < setup.layers,
                                        "early_exit.layers: ", settings.layers, " (expected 1 to ",
                                        setup.layers - 1, ", of the target's ", setup.layers, ")");
    }
    static std::size_t required_bytes(const early_exit& settings, const draft_setup& setup) {
      return sampler::required_bytes(setup.vocabulary, setup.sample, settings.tokens) +
             setup.vocabulary * sizeof(float);
    }

    void append(std::span<const token_id> said) {
      for (const token_id id : said) sampler_.push(id);
    }

    /// A pass through the first layers for each draft but the last, which the target makes then.
    template <class Target>
    void propose(const draft_request& request, draft_tree& tree, Target& target) {
      for (draft_tree::node at = 0; tree.has_room(at);) {
        target.read();
        target.logits(at, logits_.data());
        const token_id token =
            sampler_(logits_, request.random, request.index + 1 + tree.depth(at));
        at = tree.add(token, at);
        sampler_.push(token);
      }
      sampler_.take_back(tree.drafts());
    }

    void reset() { sampler_.reset(); }

   private:
    sampler sampler_;
    std::vector<float> logits_;  // [vocabulary]
  };
};

}  // namespace weir::inline WEIR_TARGET
