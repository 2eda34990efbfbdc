// Accepts every draft that the target finds typical: p(x) > min(ε, δ · exp(−H(p))). Of the paths
// that are accepted the longest stays, the more probable one of two. Cai et al. (Medusa), arXiv
// 2401.10774.
//
// Not the target's distribution: where it is unsure, what comes out is the drafter's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/token.hpp>
#include <weir/speculation/concept.hpp>

namespace weir::inline WEIR_TARGET {

struct typical_acceptance_lossy {
  double epsilon = 0.09;  ///< more probable tokens are always accepted
  double delta = 0.3;     ///< how much less probable than what is typical the others may be

  static constexpr guarantee level = guarantee::lossy;
  static constexpr bool needs_distributions = false;
  static constexpr bool accepts(sibling_kind) { return true; }

  template <sibling_kind>
  class state {
   public:
    /// Throws error::bad_config for settings that are negative or not finite.
    state(const typical_acceptance_lossy& settings, const verify_setup& setup)
        : epsilon_(settings.epsilon), delta_(settings.delta), value_(setup.limits.nodes + 1) {
      require_in_range("epsilon", settings.epsilon);
      require_in_range("delta", settings.delta);
    }
    static std::size_t required_bytes(const typical_acceptance_lossy&, const verify_setup& setup) {
      return (setup.limits.nodes + 1) * sizeof(double);
    }

    /// O(tokens of the distribution) for each accepted node that has children, + O(nodes²).
    template <class Target>
    void verify(const draft_tree& tree, Target& target, verification& out) {
      value_[0] = 0;
      judge_children(tree, target, 0);
      draft_tree::node best = 0;
      // Down to the first accepted child that was not visited yet, or else up.
      for (draft_tree::node at = 0, from = 0;;) {
        draft_tree::node next = tree.child(at, from);
        while (next != draft_tree::none && value_[next] == rejected)
          next = tree.child(at, next + 1);
        if (next != draft_tree::none) {
          target.go(next);
          if (tree.depth(next) > tree.depth(best) ||
              (tree.depth(next) == tree.depth(best) && value_[next] > value_[best]))
            best = next;
          judge_children(tree, target, next);
          at = next;
          from = 0;
        } else if (at != 0) {
          target.back();
          from = at + 1;
          at = tree.parent(at);
        } else {
          break;
        }
      }
      out.path.resize(tree.depth(best));
      for (draft_tree::node n = best; n != 0; n = tree.parent(n)) out.path[tree.depth(n) - 1] = n;
      for (const draft_tree::node n : out.path) target.go(n);
      out.extra = target.sample(best);
    }

   private:
    static constexpr double rejected = -std::numeric_limits<double>::infinity();

    static void require_in_range(const char* name, double value) {
      error::require<error::bad_config>(std::isfinite(value) && value >= 0,
                                        "typical_acceptance_lossy.", name, ": ", value,
                                        " (expected a finite number, at least 0)");
    }

    template <class Target>
    void judge_children(const draft_tree& tree, Target& target, draft_tree::node at) {
      if (tree.child(at) == draft_tree::none) return;
      const std::span<const token_probability> distribution = target.distribution(at);
      double sum = 0, entropy = 0;  // in nats
      for (const token_probability& t : distribution) sum += t.probability;
      for (const token_probability& t : distribution) {
        const double p = t.probability / sum;
        if (p > 0) entropy -= p * elementary::log(p);
      }
      const double least = std::min(epsilon_, delta_ * elementary::exp(-entropy));
      for (draft_tree::node c = tree.child(at); c != draft_tree::none; c = tree.child(at, c + 1)) {
        const auto found = std::lower_bound(
            distribution.begin(), distribution.end(), tree.token(c),
            [](const token_probability& t, token_id token) { return t.token < token; });
        const bool there = found != distribution.end() && found->token == tree.token(c);
        const double p = there ? found->probability / sum : 0;
        value_[c] = p > least ? value_[at] + elementary::log(p) : rejected;
      }
    }

    double epsilon_, delta_;
    std::vector<double> value_;  // [node] log-probability of the path to it, or `rejected`
  };
};

}  // namespace weir::inline WEIR_TARGET
