// Accepts a draft as often as the target's distribution p and the distribution q that it was drawn
// from let it, and draws from what is left of p where none is accepted: Leviathan, Kalman, Matias,
// arXiv 2211.17192; Chen et al., arXiv 2302.01318. Siblings are tried in turn, by the rule for how
// they were made:
//
//   point_mass            q is 1 at the draft. Li et al. (EAGLE), arXiv 2401.15077
//   independent           Miao et al. (SpecInfer), arXiv 2305.09781
//   without_replacement   Jeon et al. (RSD), arXiv 2402.14160; Chen et al. (Sequoia), 2402.12374
//
// The same distribution as plain decoding, whatever q is, and of chains the most drafts that can be
// accepted without changing it: Σ min(p, q) of the first ones. Other tokens than plain decoding,
// though.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct rejection_sampling {
  static constexpr guarantee level = guarantee::exact_distribution;
  static constexpr bool needs_distributions = true;
  static constexpr bool accepts(sibling_kind kind) { return kind != sibling_kind::coupled; }

  template <sibling_kind Kind>
  class state {
    static constexpr bool replaces = Kind != sibling_kind::without_replacement;

   public:
    state(const rejection_sampling&, const verify_setup& setup)
        : p_(setup.vocabulary), left_(replaces ? 0 : setup.vocabulary) {}
    static std::size_t required_bytes(const rejection_sampling&, const verify_setup& setup) {
      return setup.vocabulary * (sizeof(double) + (replaces ? 0 : sizeof(float)));
    }

    /// O(vocabulary) for each node of the path and each draft rejected beside it. Throws
    /// error::bad_call if a drafter of sampled siblings left no distribution.
    template <class Target>
    void verify(const draft_tree& tree, Target& target, verification& out) {
      for (draft_tree::node at = 0;;) {
        if (tree.child(at) == draft_tree::none) {
          out.extra = target.sample(at);
          return;
        }
        const draft_tree::node next = accepted_child(tree, target, at);
        if (next == draft_tree::none) {
          // Nothing is left of p only if p and q differ by rounding alone.
          out.extra = p_sum_ > 0 ? target.draw(at, p_) : target.sample(at);
          return;
        }
        target.go(next);
        out.path.push_back(next);
        at = next;
      }
    }

   private:
    template <class Target>
    draft_tree::node accepted_child(const draft_tree& tree, Target& target, draft_tree::node at) {
      std::fill(p_.begin(), p_.end(), 0.0);
      for (const token_probability& t : target.distribution(at))
        p_[static_cast<std::size_t>(t.token)] = t.probability;
      p_sum_ = sum(p_);
      const std::span<const float> q = distribution(tree, at);
      double q_sum = sum(q);

      std::size_t sibling = 0;
      for (draft_tree::node c = tree.child(at); c != draft_tree::none && p_sum_ > 0;
           c = tree.child(at, c + 1)) {
        const auto x = static_cast<std::size_t>(tree.token(c));
        const double p_x = p_[x] / p_sum_, q_x = probability(q, q_sum, x);
        if (target.accept_with_probability(at, sibling++, q_x > p_x ? p_x / q_x : p_x > 0))
          return c;
        subtract(q, q_sum, x);
        if constexpr (!replaces) {
          left_[x] = 0;
          q_sum = sum(q);
        }
      }
      return draft_tree::none;
    }

    /// What the children of a node were drawn from.
    std::span<const float> distribution(const draft_tree& tree, draft_tree::node at) {
      if constexpr (Kind == sibling_kind::point_mass) {
        return {};
      } else {
        const std::span<const float> q = tree.distribution(at);
        error::require<error::bad_call>(
            q.size() == p_.size(), "rejection_sampling: a distribution of ", q.size(),
            " probabilities for the children of node ", at, " (expected ", p_.size(),
            ", by draft_tree::set_distribution)");
        if constexpr (replaces) return q;
        std::copy(q.begin(), q.end(), left_.begin());
        return left_;
      }
    }
    static double probability(std::span<const float> q, double q_sum, std::size_t x) {
      if constexpr (Kind == sibling_kind::point_mass) return 1;
      return q_sum > 0 ? q[x] / q_sum : 0;
    }
    /// p becomes [p − q]+, which is 0 at x: it was not accepted.
    void subtract(std::span<const float> q, double q_sum, std::size_t x) {
      if constexpr (Kind != sibling_kind::point_mass) {
        const double p_scale = 1 / p_sum_, q_scale = q_sum > 0 ? 1 / q_sum : 0;
        for (std::size_t i = 0; i < p_.size(); ++i)
          p_[i] = std::max(p_[i] * p_scale - q[i] * q_scale, 0.0);
      }
      p_[x] = 0;
      p_sum_ = sum(p_);
    }

    /// In one order: eight running sums, then by halves.
    template <class T>
    static double sum(std::span<const T> weights) {
      double part[8] = {};
      std::size_t i = 0;
      for (; i + 8 <= weights.size(); i += 8)
        for (std::size_t l = 0; l < 8; ++l) part[l] += weights[i + l];
      for (std::size_t l = 0; i < weights.size(); ++i, ++l) part[l] += weights[i];
      for (std::size_t half = 4; half > 0; half /= 2)
        for (std::size_t l = 0; l < half; ++l) part[l] += part[l + half];
      return part[0];
    }
    static double sum(const std::vector<double>& weights) { return sum(std::span(weights)); }

    std::vector<double>
        p_;  // [vocabulary] what is left of the target's distribution, of sum p_sum_
    std::vector<float>
        left_;  // [vocabulary] what is left of the draft distribution, without replacement
    double p_sum_ = 0;
  };
};

}  // namespace weir::inline WEIR_TARGET
