// Learned embeddings that stand for tokens to come, read behind drafts: the prompt tokens of
// parallel prompt decoding (PPD), Chen et al., arXiv 2405.18628; the mask tokens of multi-token
// prediction, Samragh et al., arXiv 2507.11851. Behind the k-th of them the model says what token
// number 1 + k behind that node will be.
//
// The model's weights are the same for masks as for tokens: weights of their own (the gated LoRA of
// the latter) and a sampler behind them are not offered.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/sampling/top_tokens.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/mask_plan.hpp>

namespace weir::inline WEIR_TARGET {

/// What a model offers: `masks()` of them, and their `embeddings()`, `[mask, embedding_length]`: in
/// a node's group the first mask comes right behind the node, the second behind the first, ….
template <class M>
concept mask_embeddings = requires(const M& m) {
  { m.masks() } -> std::convertible_to<std::size_t>;
  { m.embeddings() } -> std::convertible_to<std::span<const float>>;
};

/// A plan of three masks, as PPD's, and 16 rows. How often drafts are right is assumed: measure it
/// on text of yours, and call best_mask_plan or best_mask_plan_for.
const mask_plan& assumed_mask_plan();

/// Drafts the tokens that are most probable behind the masks of the last accepted node, of the
/// ranks that the plan's tree for so many masks has, and has masks read behind them as it says:
/// best_mask_plan's, mask_plan::quadratic or mask_plan::linear. The masks must outlive the decoder.
/// Behind a prompt nothing is drafted: no masks were read yet.
template <mask_embeddings Masks>
struct mask_tokens {
  const Masks* masks = nullptr;
  mask_plan plan = assumed_mask_plan();

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return plan.limits(); }

  class state {
   public:
    /// Throws error::bad_config for a plan that is none, or for more masks than there are.
    state(const mask_tokens& settings, const draft_setup& setup)
        : plan_(checked(settings, setup).plan),
          embeddings_(settings.masks->embeddings()),
          vocabulary_(setup.vocabulary),
          ranks_(ranks_of(settings.plan)),
          best_(settings.plan.masks() * ranks_),
          node_of_(settings.limits().nodes) {}
    static std::size_t required_bytes(const mask_tokens& s, const draft_setup&) {
      return s.plan.bytes() + s.plan.masks() * ranks_of(s.plan) * sizeof(token_id) +
             s.limits().nodes * sizeof(draft_tree::node);
    }

    void append(std::span<const token_id> tokens) { since_seen_ += tokens.size(); }

    void propose(const draft_request&, draft_tree& tree) {
      // Masks tell of the stream's newest token alone.
      const masked_tree& now = plan_.trees[since_seen_ == 1 ? seen_ : 0];
      for (std::size_t n = 0; n < now.shape.nodes.size(); ++n) {
        const auto [parent, rank] = now.shape.nodes[n];
        const draft_tree::node above = parent == tree_shape::root ? 0 : node_of_[parent];
        node_of_[n] = above == draft_tree::none
                          ? above
                          : tree.add(best_[tree.depth(above) * ranks_ + rank], above);
      }
      tree.set_masks(0, now.masks[0]);
      for (std::size_t n = 0; n < now.shape.nodes.size(); ++n)
        if (node_of_[n] != draft_tree::none) tree.set_masks(node_of_[n], now.masks[n + 1]);
    }

    /// `[mask, embedding_length]`.
    std::span<const float> masks() const { return embeddings_; }
    /// `[mask, vocabulary]`: logits behind the masks of the node before the stream's newest token.
    void see_masks(std::span<const float> logits) {
      seen_ = logits.size() / vocabulary_;
      since_seen_ = 0;
      for (std::size_t k = 0; k < seen_; ++k)
        top_tokens(logits.subspan(k * vocabulary_, vocabulary_),
                   std::span(best_).subspan(k * ranks_, ranks_));
    }

    void reset() { since_seen_ = seen_ = 0; }

   private:
    static std::size_t ranks_of(const mask_plan& plan) {
      std::size_t most = 0;
      for (const masked_tree& t : plan.trees) most = std::max(most, t.shape.ranks());
      return most;
    }
    static const mask_tokens& checked(const mask_tokens& s, const draft_setup& setup) {
      using error::bad_config, error::require;
      require<bad_config>(s.masks != nullptr, "mask_tokens: no masks given");
      const std::size_t masks = s.masks->masks(), floats = s.masks->embeddings().size();
      require<bad_config>(floats == masks * setup.embedding_length, "mask_tokens: embeddings of ",
                          floats, " floats (expected ", masks, " of ", setup.embedding_length, ")");
      s.plan.validate();
      require<bad_config>(s.plan.masks() <= masks, "mask_tokens.plan: ", s.plan.masks(),
                          " masks behind a node (expected at most ", masks, ")");
      const std::size_t ranks = ranks_of(s.plan);
      require<bad_config>(ranks <= setup.vocabulary, "mask_tokens.plan: rank ", ranks - 1,
                          " (expected below the vocabulary of ", setup.vocabulary, ")");
      return s;
    }

    mask_plan plan_;
    std::span<const float> embeddings_;
    std::size_t vocabulary_, ranks_;
    std::vector<token_id> best_;             // [depth, rank]
    std::vector<draft_tree::node> node_of_;  // [shape node]
    std::size_t seen_ = 0;                   // masks that `best_` tells of
    std::size_t since_seen_ = 0;             // tokens since then
  };
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/drafters/mask_tokens.inl.hpp>
#endif
