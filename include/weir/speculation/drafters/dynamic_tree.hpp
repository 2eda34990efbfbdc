// A small model drafts a tree that grows where it is sure: DySpec, Xiong et al., arXiv 2410.11744.
//
// A draft is worth the chance that it is accepted, times those along its path, times the chance
// that its elder siblings are refused. The most valuable draft is always made next. DySpec takes
// the draft model's probability for the chance; that holds near temperature 0 only (a token drawn
// from a flat distribution that the target shares is accepted all the same), so here the chance is
// learned from what became of drafts like it, and starts from the paper's. No code of the authors
// was found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/sampling/gumbel.hpp>
#include <weir/sampling/sampler.hpp>
#include <weir/speculation/acceptance_table.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/draft_stream.hpp>

namespace weir::inline WEIR_TARGET {

/// `dynamic_tree<Cache>` (stream/model_drafters.hpp) for a draft model's stream with that cache.
///
/// `point_mass`: behind each node, the draft model's most probable tokens. `without_replacement`:
/// tokens drawn from its distribution, as the paper has it. `coupled`: the same, by the noise that
/// the target draws by, so that what the target draws comes early; most probable ones where the
/// target draws by no such noise (see draw_rule).
template <class Stream, sibling_kind Kind = sibling_kind::coupled>
struct basic_dynamic_tree {
  static_assert(Kind != sibling_kind::independent,
                "weir: dynamic_tree makes different siblings (expected another sibling_kind than "
                "independent)");

  draft_source<Stream> source;
  std::size_t nodes = 8;  ///< drafts at most
  std::size_t depth = 6;
  std::size_t width = 4;
  /// 0: draft after draft, the most valuable first, a pass of the draft model for each that is
  /// drafted behind. Above: depth after depth, a pass for each, and no draft behind one that is
  /// worth less; about 1 / nodes.
  double threshold = 0;
  /// False: chances are the draft model's probabilities, as in the paper.
  bool learns = true;
  /// What is learned, together with other streams of the same thread and beyond `reset`. Null: each
  /// stream learns for itself.
  std::shared_ptr<acceptance_table> chances = {};
  /// Settings of the draft model's distribution: any is exact. None: the target's own, or
  /// temperature 1 where that always takes its best.
  std::optional<sampling> distribution = {};

  static constexpr sibling_kind siblings = Kind;
  draft_limits limits() const { return {.nodes = nodes, .depth = depth, .width = width}; }

  class state {
   public:
    state(const basic_dynamic_tree& settings, const draft_setup& setup)
        : vocabulary_(setup.vocabulary),
          threshold_(settings.threshold),
          learns_(settings.learns),
          shared_(settings.chances),
          drafts_(settings.source, setup, settings.limits(), batch(settings)),
          sampler_(distribution_of(settings, setup), setup.vocabulary),
          by_noise_(Kind == sibling_kind::coupled && setup.sample.temperature > 0 &&
                    setup.sample.draw == draw_rule::gumbel),
          list_(Kind == sibling_kind::coupled ? setup.vocabulary : 0),
          left_((settings.nodes + 1) * setup.vocabulary),
          mass_(settings.nodes + 1) {
      error::require<error::bad_config>(settings.threshold >= 0 && settings.threshold < 1,
                                        "dynamic_tree.threshold: ", settings.threshold,
                                        " (expected at least 0, below 1)");
      error::require<error::bad_config>(
          sampler_.options().temperature > 0,
          "dynamic_tree.distribution: temperature 0 (expected above 0: what "
          "drafts are worth is read from it)");
      open_.reserve(2 * settings.nodes + 1);
      made_.reserve(settings.nodes + 1);
      next_.reserve(settings.nodes + 1);
      batch_.reserve(settings.width);
    }
    static std::size_t required_bytes(const basic_dynamic_tree& settings,
                                      const draft_setup& setup) {
      return checked_sum(
          draft_stream<Stream>::required_bytes(settings.source, setup, settings.limits(),
                                               batch(settings)),
          sampler::required_bytes(setup.vocabulary),
          Kind == sibling_kind::coupled ? setup.vocabulary * sizeof(token_probability) : 0,
          checked_product(checked_sum(settings.nodes, 1u),
                          sizeof(made_draft) + setup.vocabulary * sizeof(float) + sizeof(double)));
    }

    void append(std::span<const token_id> tokens) {
      for (const token_id token : tokens) look_back(token);
      drafts_.append(tokens);
    }

    void propose(const draft_request& request, draft_tree& tree) {
      made_.assign(1, {});
      at_ = 0;
      if (!drafts_.begin()) return;
      take_distribution(0, 0, tree);
      open_.assign(1, {1, 0});
      threshold_ > 0 ? grow_by_depths(request, tree) : grow_by_value(request, tree);
    }

    void reset() {
      drafts_.reset();
      made_.clear();
      own_.reset();
    }

   private:
    acceptance_table& chances() { return shared_ ? *shared_ : own_; }

    /// A draft of the last tree.
    struct made_draft {
      draft_tree::node parent = 0;
      token_id token = 0;
      std::size_t children = 0;
      acceptance_table::cell kind = {};
    };

    /// The stream went on with `token`: so much for those that were drafted.
    void look_back(token_id token) {
      if (at_ == draft_tree::none) return;
      const draft_tree::node parent = std::exchange(at_, draft_tree::none);
      for (draft_tree::node n = parent + 1; n < made_.size() && at_ == draft_tree::none; ++n) {
        if (made_[n].parent != parent) continue;
        chances().learn(made_[n].kind, made_[n].token == token);
        if (made_[n].token == token) at_ = n;
      }
    }

    /// The next child of a node, not made yet: worth at most `value`.
    struct entry {
      double value;
      draft_tree::node parent;
      /// On ties the older parent's child comes first.
      bool operator<(const entry& other) const {
        return value < other.value || (value == other.value && parent > other.parent);
      }
    };

    static sampling distribution_of(const basic_dynamic_tree& settings, const draft_setup& setup) {
      if (settings.distribution) return settings.distribution->without_penalties();
      if (setup.sample.temperature == 0) return {.temperature = 1};
      return setup.sample.without_penalties();
    }
    static std::size_t batch(const basic_dynamic_tree& s) { return s.threshold > 0 ? s.width : 1; }

    void grow_by_value(const draft_request& request, draft_tree& tree) {
      while (!open_.empty()) {
        const entry next = pop();
        if (!tree.has_room(next.parent)) continue;
        if (mass_[next.parent] < 0) {
          drafts_.read(tree, {&next.parent, 1});
          take_distribution(next.parent, 0, tree);
        }
        const entry child = draft(next, request, tree);
        if (drafts_.reaches(tree.depth(child.parent))) push(child);
      }
    }

    void grow_by_depths(const draft_request& request, draft_tree& tree) {
      for (;;) {
        next_.clear();
        while (!open_.empty()) {
          const entry best = pop();
          if (best.value < threshold_ || !tree.has_room(best.parent)) continue;
          const entry child = draft(best, request, tree);
          if (child.value >= threshold_ && drafts_.reaches(tree.depth(child.parent)))
            next_.push_back(child);
        }
        batch_.clear();
        for (const entry& e : next_)
          if (tree.has_room(e.parent)) batch_.push_back(e.parent);
        if (batch_.empty()) return;
        drafts_.read(tree, batch_);
        for (std::size_t i = 0; i < batch_.size(); ++i) take_distribution(batch_[i], i, tree);
        for (const entry& e : next_)
          if (mass_[e.parent] >= 0) push(e);
      }
    }

    /// Makes the draft that `next` stands for, and opens its next sibling. Returns the draft as a
    /// parent.
    entry draft(const entry& next, const draft_request& request, draft_tree& tree) {
      const std::span<float> left = left_of(next.parent);
      double& mass = mass_[next.parent];
      const std::size_t token = choose(left, mass, request, tree, next.parent);
      const double share = std::min(1.0, double{left[token]} / mass);
      mass -= double{left[token]};
      left[token] = 0;
      const draft_tree::node child = tree.add(static_cast<token_id>(token), next.parent);
      mass_[child] = -1;
      const auto kind = acceptance_table::cell_of(made_[next.parent].children++, share);
      made_.push_back({next.parent, static_cast<token_id>(token), 0, kind});
      const double chance = learns_ ? chances().estimate(kind, share) : share;
      const double rest = next.value * (1 - chance);
      if (mass > 0 && rest > 0) push({rest, next.parent});
      return {next.value * chance, child};
    }

    std::size_t choose(std::span<const float> left, double mass, const draft_request& request,
                       const draft_tree& tree, draft_tree::node parent) {
      if constexpr (Kind == sibling_kind::without_replacement)
        return drawn(left, mass * request.random.uniform(purpose::drafting, request.round,
                                                         static_cast<std::uint32_t>(tree.size())));
      if (by_noise_) {
        std::size_t n = 0;
        for (std::size_t i = 0; i < left.size(); ++i)
          if (left[i] > 0) list_[n++] = {static_cast<token_id>(i), left[i]};
        return static_cast<std::size_t>(draw_gumbel(std::span(list_).first(n), request.random,
                                                    request.index + 1 + tree.depth(parent)));
      }
      return static_cast<std::size_t>(std::max_element(left.begin(), left.end()) - left.begin());
    }
    /// The token at which the running sum passes `target`.
    static std::size_t drawn(std::span<const float> left, double target) {
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

    /// Keeps the distribution behind node `n`, which was read as number `read`.
    void take_distribution(draft_tree::node n, std::size_t read, draft_tree& tree) {
      spread_distribution(sampler_.distribution(drafts_.logits(read)), left_of(n));
      mass_[n] = 0;
      for (const float x : left_of(n)) mass_[n] += double{x};
      if (tree.wants_distributions())
        std::ranges::copy(left_of(n), tree.set_distribution(n).begin());
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
    bool learns_;
    acceptance_table own_;
    std::shared_ptr<acceptance_table> shared_;
    std::vector<made_draft> made_;            // [node of the last tree]
    draft_tree::node at_ = draft_tree::none;  // how far the stream followed it; none: it left
    draft_stream<Stream> drafts_;
    sampler sampler_;
    bool by_noise_;
    std::vector<token_probability> list_;  // [vocabulary] to draw from, by noise
    std::vector<float> left_;  // [node, vocabulary] probabilities of what was not drafted there yet
    std::vector<double> mass_;  // [node] their sum; negative: the node was not read
    std::vector<entry> open_, next_;
    std::vector<draft_tree::node> batch_;
  };
};

}  // namespace weir::inline WEIR_TARGET
