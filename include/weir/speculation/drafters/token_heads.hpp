// Heads that a model has beside its output matrix, each for a token further on: Medusa, Cai et al.,
// arXiv 2401.10774; multi-token prediction, Gloeckle et al., arXiv 2404.19737.
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
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// What a model offers: `heads()` of them; `logits(k, hidden, out)` writes head k's `[vocabulary]`
/// from a last hidden row `[embedding_length]`, before the final norm. The output matrix says which
/// token follows that row; head 0 says which follows that one, and so on. The executor may be used.
template <class H>
concept multi_token_heads = requires(const H& h, std::size_t k, std::span<const float> hidden,
                                     std::span<float> out, executor& threads) {
  { h.heads() } -> std::convertible_to<std::size_t>;
  h.logits(k, hidden, out, threads);
};

/// Drafts the tokens that heads hold most probable, of the ranks that `shape` has at each depth.
/// The heads must outlive the decoder. Behind a prompt nothing is drafted: no row was read yet.
template <multi_token_heads Heads>
struct token_heads {
  const Heads* heads = nullptr;
  tree_shape shape = tree_shape::chain(2);

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return shape.limits(); }

  class state {
   public:
    state(const token_heads& settings, const draft_setup& setup)
        : heads_(settings.heads),
          threads_(setup.threads),
          shape_(settings.shape),
          depth_(shape_.nodes.size()),
          node_of_(shape_.nodes.size()),
          hidden_(setup.embedding_length),
          logits_(setup.vocabulary) {
      using error::bad_config, error::require;
      require<bad_config>(heads_ != nullptr, "token_heads: no heads given");
      shape_.validate();
      const std::size_t deepest = shape_.limits().depth;
      require<bad_config>(deepest <= heads_->heads(), "token_heads.shape: ", deepest,
                          " deep (expected at most ", heads_->heads(), ", a head for each)");
      for (std::size_t n = 0; n < shape_.nodes.size(); ++n) depth_[n] = shape_.depth(n);
      const std::size_t ranks = shape_.ranks();
      require<bad_config>(ranks <= setup.vocabulary, "token_heads.shape: rank ", ranks - 1,
                          " (expected below the vocabulary of ", setup.vocabulary, ")");
      best_.resize(ranks);
    }
    static std::size_t required_bytes(const token_heads&, const draft_setup& setup) {
      return (setup.embedding_length + setup.vocabulary) * sizeof(float);
    }

    void append(std::span<const token_id> tokens) { since_seen_ += tokens.size(); }
    /// The row that the stream's newest token was drawn from.
    void see(std::span<const float> hidden) {
      std::ranges::copy(hidden, hidden_.begin());
      since_seen_ = 0;
    }

    void propose(const draft_request&, draft_tree& tree) {
      if (since_seen_ != 1) return;  // the row is not the one before the root
      for (std::size_t n = 0, head = 0; n < shape_.nodes.size(); ++n) {
        if (depth_[n] > head) {
          if (depth_[n] > tree.limits().depth) return;
          heads_->logits(head++, std::span<const float>(hidden_), std::span<float>(logits_),
                         *threads_);
          top_tokens(logits_, best_);
        }
        const auto [parent, rank] = shape_.nodes[n];
        const draft_tree::node above = parent == tree_shape::root ? 0 : node_of_[parent];
        node_of_[n] = above == draft_tree::none ? above : tree.add(best_[rank], above);
      }
    }

    void reset() { since_seen_ = 0; }

   private:
    const Heads* heads_;
    executor* threads_;
    tree_shape shape_;
    std::vector<std::size_t> depth_;         // [shape node]
    std::vector<draft_tree::node> node_of_;  // [shape node]
    std::vector<float> hidden_, logits_;
    std::vector<token_id> best_;  // [rank]
    std::size_t since_seen_ = 0;  // tokens since a row was seen
  };
};

}  // namespace weir::inline WEIR_TARGET
