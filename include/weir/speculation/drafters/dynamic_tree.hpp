// A small model guesses a tree that grows where it is sure: DySpec, Xiong et al., arXiv 2410.11744.
//
// The chance that a guess is accepted is taken to be what the draft model gives it, so a guess is
// worth the product of these along its path, times the chance that its elder siblings were refused.
// The most valuable guess is always made next. No code of the authors was found; the sheet's
// restatement is followed, and the threshold's default is our own choice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/draft_stream.hpp>

namespace weir {

/// `dynamic_tree<Cache>` (stream/model_drafters.hpp) for a draft model's stream with that cache.
///
/// `point_mass`: behind each node, the draft model's most probable tokens, for sample_and_match.
/// `without_replacement`: tokens drawn from its law, as the paper has it, for rejection sampling.
template <class Stream, sibling_kind Kind = sibling_kind::point_mass>
struct basic_dynamic_tree {
  static_assert(Kind != sibling_kind::independent,
                "weir: dynamic_tree makes different siblings (expected sibling_kind::point_mass or "
                "sibling_kind::without_replacement)");

  draft_source<Stream> source;
  std::size_t nodes = 8;  ///< guesses at most
  std::size_t depth = 6;
  std::size_t width = 4;
  /// 0: guess after guess, the most valuable first, a pass of the draft model for each that is
  /// guessed behind. Above: depth after depth, a pass for each, and no guess behind one that is
  /// worth less; about 1 / nodes.
  double threshold = 0;
  /// Of the draft model's law. The target's own settings may be better or worse: any is exact.
  sampling law = {.temperature = 1};

  static constexpr sibling_kind siblings = Kind;
  draft_limits limits() const { return {.nodes = nodes, .depth = depth, .width = width}; }

  class state {
   public:
    state(const basic_dynamic_tree& settings, const draft_setup& setup)
        : vocabulary_(setup.vocabulary),
          threshold_(settings.threshold),
          drafts_(settings.source, setup, settings.limits(), batch(settings)),
          sampler_(settings.law.without_penalties(), setup.vocabulary),
          left_((settings.nodes + 1) * setup.vocabulary),
          mass_(settings.nodes + 1) {
      error::require<error::bad_config>(settings.threshold >= 0 && settings.threshold < 1,
                                        "dynamic_tree.threshold: ", settings.threshold,
                                        " (expected at least 0, below 1)");
      error::require<error::bad_config>(settings.law.temperature > 0,
                                        "dynamic_tree.law: temperature 0 (expected above 0: what "
                                        "guesses are worth is read from it)");
      open_.reserve(2 * settings.nodes + 1);
      next_.reserve(settings.nodes + 1);
      batch_.reserve(settings.width);
    }
    static std::size_t required_bytes(const basic_dynamic_tree& settings,
                                      const draft_setup& setup) {
      return draft_stream<Stream>::required_bytes(settings.source, setup, settings.limits(),
                                                  batch(settings)) +
             sampler::required_bytes(setup.vocabulary) +
             (settings.nodes + 1) * (setup.vocabulary * sizeof(float) + sizeof(double));
    }

    void append(std::span<const token_id> tokens) { drafts_.append(tokens); }

    void propose(const draft_request& request, draft_tree& tree) {
      if (!drafts_.begin()) return;
      take_law(0, 0, tree);
      open_.assign(1, {1, 0});
      threshold_ > 0 ? grow_by_depths(request, tree) : grow_by_value(request, tree);
    }

    void reset() { drafts_.reset(); }

   private:
    /// The next child of a node, not made yet: worth at most `value`.
    struct entry {
      double value;
      draft_tree::node parent;
      /// On ties the older parent's child comes first.
      bool operator<(const entry& other) const {
        return value < other.value || (value == other.value && parent > other.parent);
      }
    };

    static std::size_t batch(const basic_dynamic_tree& s) { return s.threshold > 0 ? s.width : 1; }

    void grow_by_value(const draft_request& request, draft_tree& tree) {
      while (!open_.empty()) {
        const entry next = pop();
        if (!tree.has_room(next.parent)) continue;
        if (mass_[next.parent] < 0) {
          drafts_.read(tree, {&next.parent, 1});
          take_law(next.parent, 0, tree);
        }
        const entry child = guess(next, request, tree);
        if (drafts_.reaches(tree.depth(child.parent))) push(child);
      }
    }

    void grow_by_depths(const draft_request& request, draft_tree& tree) {
      for (;;) {
        next_.clear();
        while (!open_.empty()) {
          const entry best = pop();
          if (best.value < threshold_ || !tree.has_room(best.parent)) continue;
          const entry child = guess(best, request, tree);
          if (child.value >= threshold_ && drafts_.reaches(tree.depth(child.parent)))
            next_.push_back(child);
        }
        batch_.clear();
        for (const entry& e : next_)
          if (tree.has_room(e.parent)) batch_.push_back(e.parent);
        if (batch_.empty()) return;
        drafts_.read(tree, batch_);
        for (std::size_t i = 0; i < batch_.size(); ++i) take_law(batch_[i], i, tree);
        for (const entry& e : next_)
          if (mass_[e.parent] >= 0) push(e);
      }
    }

    /// Makes the guess that `next` stands for, and opens its next sibling. Returns the guess as a
    /// parent.
    entry guess(const entry& next, const draft_request& request, draft_tree& tree) {
      const std::span<float> left = left_of(next.parent);
      double& mass = mass_[next.parent];
      const std::size_t token = choose(left, mass, request, tree.size());
      const double share = std::min(1.0, double{left[token]} / mass);
      mass -= double{left[token]};
      left[token] = 0;
      const draft_tree::node child = tree.add(static_cast<token_id>(token), next.parent);
      mass_[child] = -1;
      const double rest = next.value * (1 - share);
      if (mass > 0 && rest > 0) push({rest, next.parent});
      return {next.value * share, child};
    }

    std::size_t choose(std::span<const float> left, double mass, const draft_request& request,
                       std::size_t number) const {
      if constexpr (Kind == sibling_kind::point_mass)
        return static_cast<std::size_t>(std::max_element(left.begin(), left.end()) - left.begin());
      const double target = mass * request.random.uniform(purpose::drafting, request.round,
                                                          static_cast<std::uint32_t>(number));
      double passed = 0;
      std::size_t last = 0;
      for (std::size_t i = 0; i < left.size(); ++i) {
        if (left[i] == 0) continue;
        last = i;
        passed += double{left[i]};
        if (passed > target) break;
      }
      return last;
    }

    /// Keeps the law behind node `n`, which was read as number `read`.
    void take_law(draft_tree::node n, std::size_t read, draft_tree& tree) {
      spread_law(sampler_.distribution(drafts_.logits(read)), left_of(n));
      mass_[n] = 0;
      for (const float x : left_of(n)) mass_[n] += double{x};
      if (tree.wants_laws()) std::ranges::copy(left_of(n), tree.set_law(n).begin());
    }
    std::span<float> left_of(draft_tree::node n) {
      return std::span(left_).subspan(n * vocabulary_, vocabulary_);
    }

    entry pop() {
      std::pop_heap(open_.begin(), open_.end());
      const entry top = open_.back();
      open_.pop_back();
      return top;
    }
    void push(const entry& e) {
      open_.push_back(e);
      std::push_heap(open_.begin(), open_.end());
    }

    std::size_t vocabulary_;
    double threshold_;
    draft_stream<Stream> drafts_;
    sampler sampler_;
    std::vector<float> left_;  // [node, vocabulary] probabilities of what was not guessed there yet
    std::vector<double> mass_;  // [node] their sum; negative: the node was not read
    std::vector<entry> open_, next_;
    std::vector<draft_tree::node> batch_;
  };
};

}  // namespace weir
