// Drafts as many tokens as pay: a drafter whose length is chosen anew for each round, from how
// often its drafts were right and from what passes took so far (see ../draft_length.hpp).
//
// Length 0 is among the choices. When it has been chosen `rest` times in a row, one round tries
// `probe` drafts, and so does the next as long as all of them are right.
//
// The first rounds try lengths 0, 1, 3, 7, … up to the drafter's own, each twice, and so measure
// passes over 1, 2, 4, 8, … rows. The length of a tree is its depth; its drafts shrink with it.
//
// Where a pass is shared, the other streams are taken to do as this one does: a draft more is as
// many rows as there were streams lately. The choice knows past rounds alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/acceptance_rate.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/draft_length.hpp>
#include <weir/speculation/pass_times.hpp>

namespace weir::inline WEIR_TARGET {

template <drafter Drafter>
struct adaptive_length {
  static_assert(!uses_masks<typename Drafter::state>,
                "weir: adaptive_length takes no drafters that use masks: a round without drafts "
                "would leave the next one none either; see best_mask_plan_for");

  Drafter drafter = {};
  std::size_t rows = 64;  ///< passes over at most so many are measured, of all streams together
  double memory = 32;     ///< drafts that the acceptance is a mean of
  std::size_t rest = 32;  ///< rounds without drafts before it is tried again
  std::size_t probe = 2;  ///< drafts then

  static constexpr sibling_kind siblings = Drafter::siblings;
  static constexpr bool drafts_in_target = weir::drafts_in_target<Drafter>;
  draft_limits limits() const { return drafter.limits(); }
  auto exit_layer() const
    requires requires(const Drafter& d) { d.exit_layer(); }
  {
    return drafter.exit_layer();
  }

  class state {
    using inner_state = typename Drafter::state;

   public:
    state(const adaptive_length& settings, const draft_setup& setup)
        : most_(settings.limits()),
          rest_(settings.rest),
          probe_(settings.probe),
          inner_(settings.drafter, setup),
          rate_(settings.memory),
          passes_(settings.rows) {
      using error::bad_config, error::require;
      require<bad_config>(settings.memory >= 1, "adaptive_length.memory: ", settings.memory,
                          " (expected 1 or more)");
      require<bad_config>(settings.probe > 0,
                          "adaptive_length.probe: 0 (expected 1 or more drafts)");
    }
    static std::size_t required_bytes(const adaptive_length& s, const draft_setup& setup) {
      return checked_sum(inner_state::required_bytes(s.drafter, setup),
                         pass_times::required_bytes(s.rows));
    }

    void append(std::span<const token_id> tokens) { inner_.append(tokens); }
    void propose(const draft_request& request, draft_tree& tree)
      requires(!weir::drafts_in_target<Drafter>)
    {
      if (shorten(tree)) inner_.propose(request, tree);
    }
    template <class Target>
    void propose(const draft_request& request, draft_tree& tree, Target& target)
      requires weir::drafts_in_target<Drafter>
    {
      if (shorten(tree)) inner_.propose(request, tree, target);
    }
    void see(std::span<const float> hidden)
      requires sees_hidden_rows<inner_state>
    {
      inner_.see(hidden);
    }

    void learn(const round_outcome& o) {
      if constexpr (learns_from_rounds<inner_state>) inner_.learn(o);
      rate_.learn(o.accepted, o.accepted < o.depth);
      probing_ = was_probe_ && o.accepted == o.depth;
      if (o.pass_rows > passes_.most()) return;
      passes_.learn(o.pass_rows, o.pass_seconds);
      if (o.depth == 0) {
        idle_.learn(o.draft_seconds);
      } else {
        drafting_.learn(o.draft_seconds);
        depth_.learn(static_cast<double>(o.depth));
      }
      share_ += (static_cast<double>(o.pass_rows) / static_cast<double>(o.drafts + 1) - share_) / 4;
    }

    void reset() {
      inner_.reset();
      rate_.reset();
      passes_.reset();
      idle_ = drafting_ = depth_ = {};
      share_ = 1;
      trials_ = resting_ = length_ = 0;
      probing_ = was_probe_ = false;
    }

    /// What was chosen for the last round.
    std::size_t length() const { return length_; }
    /// How often drafts are right.
    double acceptance() const { return rate_.rate(); }
    const typename Drafter::state& inner() const { return inner_; }

   private:
    /// A mean of the last 16 or so.
    struct lately {
      double mean = 0, count = 0;
      void learn(double x) {
        count = count < 16 ? count + 1 : 16;
        mean += (x - mean) / count;
      }
    };

    /// Chooses a length, and leaves room for it alone; false if it is 0.
    bool shorten(draft_tree& tree) {
      length_ = std::min(chosen(std::min(most_.depth, tree.limits().depth)), tree.limits().depth);
      if (length_ == 0) return false;
      tree.tighten({drafts(length_), length_, most_.width});
      return true;
    }

    /// Drafts of a tree so deep.
    std::size_t drafts(std::size_t depth) const {
      return depth == 0 ? 0 : (most_.nodes * depth + most_.depth - 1) / most_.depth;
    }

    std::size_t chosen(std::size_t most) {
      was_probe_ = false;
      const std::size_t step = trials_ / 2;  // lengths 0, 1, 3, 7, …, and the longest
      const bool measuring = step == 0 || (std::size_t{1} << (step - 1)) <= most_.depth;
      if (measuring) {
        ++trials_;
        return std::min((std::size_t{1} << step) - 1, most);
      }
      if (!passes_.known()) return 0;
      const double each =
          depth_.count > 0 ? std::max(0., drafting_.mean - idle_.mean) / depth_.mean : 0;
      const std::size_t best = best_draft_length(
          rate_.rate(), each,
          [&](std::size_t n) {
            return idle_.mean + passes_(share_ * static_cast<double>(1 + drafts(n - 1)));
          },
          most);
      if (best > 0 && !probing_) {
        resting_ = 0;
        return best;
      }
      if (best == 0 && !probing_ && ++resting_ <= rest_) return 0;
      resting_ = 0;
      was_probe_ = true;
      return std::max(best, std::min(probe_, most));
    }

    draft_limits most_;
    std::size_t rest_, probe_;
    inner_state inner_;
    acceptance_rate rate_;
    pass_times passes_;
    lately idle_, drafting_, depth_;  // seconds of rounds without and with drafts; their depth
    double share_ = 1;                // rows of a pass for each of the stream's own
    std::size_t trials_ = 0;          // rounds that measured
    std::size_t resting_ = 0;         // rounds without drafts lately
    std::size_t length_ = 0;
    bool probing_ = false, was_probe_ = false;
  };
};

}  // namespace weir::inline WEIR_TARGET
