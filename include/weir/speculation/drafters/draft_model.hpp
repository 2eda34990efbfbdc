// A small model drafts, token by token: Leviathan et al., arXiv 2211.17192; Chen et al., arXiv
// 2302.01318.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/target.hpp>
#include <weir/core/undo.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/draft_stream.hpp>

namespace weir::inline WEIR_TARGET {

/// `draft_model<Cache>` (stream/model_drafters.hpp) for a draft model's stream with that cache.
///
/// `coupled`: drafts are what the draft model would say with the target's settings and the
/// target's own randomness, so that equal distributions give equal tokens. `point_mass`: what it
/// holds most probable. Another kind: drawn by randomness of its own.
template <class Stream, sibling_kind Kind = sibling_kind::coupled>
struct basic_draft_model {
  draft_source<Stream> source;
  std::size_t tokens = 4;       ///< drafts at most
  float least_probability = 0;  ///< drafts end behind one that the draft model gives less

  static constexpr sibling_kind siblings = Kind;
  draft_limits limits() const { return {.nodes = tokens, .depth = tokens}; }

  class state {
   public:
    state(const basic_draft_model& settings, const draft_setup& setup)
        : least_(settings.least_probability),
          drafts_(settings.source, setup, settings.limits(), 1),
          sampler_(setup.sample, setup.vocabulary, settings.tokens) {}
    static std::size_t required_bytes(const basic_draft_model& settings, const draft_setup& setup) {
      return checked_sum(
          draft_stream<Stream>::required_bytes(settings.source, setup, settings.limits(), 1),
          sampler::required_bytes(setup.vocabulary, setup.sample, settings.tokens));
    }

    void append(std::span<const token_id> said) {
      for (const token_id id : said) sampler_.push(id);
      drafts_.append(said);
    }

    /// A pass of the draft model for each draft.
    void propose(const draft_request& request, draft_tree& tree) {
      if (!drafts_.begin()) return;
      const undo_unless_done drafts([&] { sampler_.take_back(tree.drafts()); });
      for (draft_tree::node at = 0; tree.has_room(at);) {
        const auto distribution = sampler_.distribution(drafts_.logits());
        if (tree.wants_distributions())
          spread_distribution(distribution, tree.set_distribution(at));
        const token_id token = choose(distribution, request, tree, at);
        const bool sure = least_ <= 0 || probability(distribution, token) >= least_;
        at = tree.add(token, at);
        sampler_.push(token);
        if (!sure || !tree.has_room(at) || !drafts_.reaches(tree.depth(at))) break;
        drafts_.read(tree, {&at, 1});
      }
    }

    void reset() {
      drafts_.reset();
      sampler_.reset();
    }

   private:
    token_id choose(std::span<const token_probability> distribution, const draft_request& request,
                    const draft_tree& tree, draft_tree::node at) const {
      if constexpr (Kind == sibling_kind::coupled)
        return sampler_.draw(distribution, request.random, request.index + 1 + tree.depth(at));
      if constexpr (Kind == sibling_kind::point_mass)
        return std::max_element(distribution.begin(), distribution.end(),
                                [](const token_probability& a, const token_probability& b) {
                                  return a.probability < b.probability;
                                })
            ->token;
      return sampler::draw(distribution, request.random.uniform(purpose::drafting, request.round,
                                                                static_cast<std::uint32_t>(at)));
    }
    static float probability(std::span<const token_probability> distribution, token_id token) {
      for (const token_probability& t : distribution)
        if (t.token == token) return t.probability;
      return 0;
    }

    float least_;
    draft_stream<Stream> drafts_;
    sampler sampler_;
  };
};

}  // namespace weir::inline WEIR_TARGET
