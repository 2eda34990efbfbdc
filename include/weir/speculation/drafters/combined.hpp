// Several drafters, of which the best for this stream draft together. After CoSine, arXiv
// 2503.10325, whose formulas are not public; these are ours.
//
// A drafter's rank is how often its drafts were right, of those that the stream decided, and a
// bonus that falls with the rounds in which it was asked lately. The first `asked` in rank that
// know something draft.
//
// Drafters that draft singly (../draft.hpp) are fused: at each depth each of them drafts behind
// the same path, the most confident draft extends it, the others stay as its siblings; the path
// ends where all of it is right with less than `confidence`. Trees of other drafters are added
// whole. The best-ranked comes first, equal drafts are one, and what finds no room is left out.
//
// Each drafter is judged by what the stream went on to say, whether its drafts were among the
// tree's or not, and learns of its own drafts alone.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/acceptance_rate.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/token_draft.hpp>

namespace weir::inline WEIR_TARGET {

template <drafter... Drafters>
struct combined {
  static_assert(sizeof...(Drafters) > 0, "weir: combined needs a drafter");
  static_assert(
      ((Drafters::siblings == sibling_kind::point_mass) && ...),
      "weir: drafts that were drawn lose their distribution when drafters combine; combined takes "
      "drafters of point_mass siblings");
  static_assert(!(drafts_in_target<Drafters> || ...),
                "weir: combined takes no drafters that need the target's layers");
  static_assert(
      !(uses_masks<typename Drafters::state> || ...),
      "weir: combined takes no drafters that use masks: these draft by the masks of their "
      "own tree");

  std::tuple<Drafters...> drafters = {};
  std::size_t drafts = 16;  ///< of all together
  std::size_t asked = 2;    ///< drafters a round
  double memory = 64;       ///< drafts that a drafter's rank is a mean of
  double bonus = .25;       ///< of a drafter that was not asked lately
  double confidence = 0;    ///< of a fused path, at least

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const {
    draft_limits all{0, 0, 0};
    std::apply(
        [&](const Drafters&... d) {
          ((all.nodes = checked_sum(all.nodes, d.limits().nodes),
            all.depth = std::max(all.depth, d.limits().depth),
            all.width = checked_sum(all.width, d.limits().width)),
           ...);
        },
        drafters);
    return {std::min(all.nodes, drafts), std::min(all.depth, drafts), std::min(all.width, drafts)};
  }

  class state {
    static constexpr std::size_t count = sizeof...(Drafters);

   public:
    state(const combined& settings, const draft_setup& setup)
        : state(settings, setup, std::index_sequence_for<Drafters...>()) {}
    static std::size_t required_bytes(const combined& s, const draft_setup& setup) {
      const std::size_t depth = s.limits().depth;
      return std::apply(
          [&](const Drafters&... d) {
            return checked_sum(checked_product(depth, sizeof(token_id)),
                               member<Drafters>::required_bytes(d, setup, depth)...);
          },
          s.drafters);
    }

    void append(std::span<const token_id> tokens) {
      for (const token_id token : tokens) judge(token);
      each([&](auto& m) { m.drafts.append(tokens); });
    }

    void propose(const draft_request& request, draft_tree& tree) {
      each([](auto& m) {
        m.tell();
        m.recently *= kept_asking;
      });
      std::size_t speakers = 0;
      for (const std::size_t i : ranked()) {
        bool spoke = false;
        with(i, [&](auto& m) { spoke = m.ask(request, tree); });
        if (spoke) chosen_[speakers++] = i;
        if (speakers == asked_) break;
      }
      path_.clear();
      bool fused = false;
      for (std::size_t k = 0; k < speakers; ++k)
        with(chosen_[k], [&]<class M>(M& m) {
          if constexpr (M::singly) {
            if (!std::exchange(fused, true)) fuse(request, speakers, tree);
          } else {
            m.merge_into(tree);
          }
        });
      proposed_ = true;
      to_judge_ = on_path_ = 0;
    }

    void see(std::span<const float> hidden)
      requires(sees_hidden_rows<typename Drafters::state> || ...)
    {
      each([&]<class M>(M& m) {
        if constexpr (sees_hidden_rows<typename M::drafts_type>) m.drafts.see(hidden);
      });
    }

    void learn(const round_outcome& o) {
      if (!std::exchange(proposed_, false)) return;
      to_judge_ = o.accepted + 1;
      each([&](auto& m) { m.round = o; });
    }

    void reset() {
      each([](auto& m) { m.reset(); });
      path_.clear();
      proposed_ = false;
      to_judge_ = on_path_ = 0;
    }

    /// How often each drafter's drafts are right.
    std::array<double, count> acceptance() const {
      return std::apply([](const auto&... m) { return std::array{m.rate.rate()...}; }, members_);
    }

   private:
    static constexpr double kept_asking = .9;  // of what was asked, a round later
    static constexpr token_id no_token = -1;
    using clock = std::chrono::steady_clock;

    template <class D>
    struct origin {
      const D& settings;
      const draft_setup& setup;
      const combined& all;
    };

    template <class D>
    struct member {
      using drafts_type = typename D::state;
      static constexpr bool singly = drafts_singly<drafts_type>;
      static constexpr bool learns = learns_from_rounds<drafts_type>;

      member(const origin<D>& o)
          : drafts(o.settings, o.setup),
            tree(singly ? draft_limits{} : o.settings.limits()),
            most(o.settings.limits()),
            rate(o.all.memory) {
        if (singly) drafted.reserve(o.all.limits().depth);
      }
      static std::size_t required_bytes(const D& d, const draft_setup& setup, std::size_t depth) {
        return checked_sum(drafts_type::required_bytes(d, setup),
                           draft_tree::required_bytes(singly ? draft_limits{} : d.limits()),
                           checked_product(singly ? depth : 0, sizeof(token_id)));
      }

      /// Drafts; true if it knows something.
      bool ask(const draft_request& request, const draft_tree& whole) {
        const auto start = learns ? clock::now() : clock::time_point{};
        asked = true;
        lost = false;
        at = accepted = 0;
        recently += 1;
        tree.start(whole.token(0), whole.limits());
        bool knows = false;
        if constexpr (singly) {
          drafted.clear();
          knows = most.depth > 0 && drafts.draft(request, {}).has_value();
        } else {
          if (tree.limits().nodes > 0) drafts.propose(request, tree);
          knows = tree.drafts() > 0;
        }
        if (learns) seconds = std::chrono::duration<double>(clock::now() - start).count();
        return knows;
      }

      void merge_into(draft_tree& whole) {
        // Where each node went stands in the order of nodes: a walk from the root finds it anew.
        for (draft_tree::node n = 1; n < tree.size(); ++n) place(n, whole);
      }
      /// The whole tree's node with the same tokens on the way to it, made if there is room.
      draft_tree::node place(draft_tree::node n, draft_tree& whole) {
        if (n == 0) return 0;
        const draft_tree::node above = place(tree.parent(n), whole);
        if (above == draft_tree::none) return draft_tree::none;
        const draft_tree::node there = whole.child_with(above, tree.token(n));
        return there != draft_tree::none ? there : whole.add(tree.token(n), above);
      }

      /// The stream went on with `token`. `depth`: where on the fused path it was, or none.
      void judge(token_id token, std::optional<std::size_t> depth) {
        if (!asked) return;
        if constexpr (singly) {
          if (!depth || *depth >= drafted.size() || drafted[*depth] == no_token) return;
          const bool right = drafted[*depth] == token;
          rate.learn(right, !right);
          accepted += right;
        } else {
          if (lost || tree.child(at) == draft_tree::none) return;
          const draft_tree::node next = tree.child_with(at, token);
          lost = next == draft_tree::none;
          rate.learn(!lost, lost);
          accepted += !lost;
          if (!lost) at = next;
        }
      }

      /// Tells the drafter what became of its drafts, all of which are decided by now.
      void tell() {
        if constexpr (learns)
          if (asked && round) {
            round_outcome own = *round;
            own.drafts = singly ? drafted.size() : tree.drafts();
            own.depth = singly ? drafted.size() : tree.deepest();
            own.accepted = accepted;
            own.draft_seconds = seconds;
            drafts.learn(own);
          }
        asked = false;
        round.reset();
      }

      void reset() {
        drafts.reset();
        rate.reset();
        recently = 0;
        asked = false;
        round.reset();
      }

      drafts_type drafts;
      draft_tree tree;                // of a drafter that drafts trees
      std::vector<token_id> drafted;  // [depth - 1] of one that drafts singly; no_token: nothing
      draft_limits most;
      acceptance_rate rate;
      double recently = 0;  // rounds in which it was asked
      bool asked = false;   // in the last one
      bool lost = false;    // its tree says something else than the stream
      draft_tree::node at = 0;
      std::size_t accepted = 0;
      double seconds = 0;
      std::optional<round_outcome> round;
    };

    template <std::size_t... I>
    state(const combined& settings, const draft_setup& setup, std::index_sequence<I...>)
        : asked_(settings.asked),
          bonus_(settings.bonus),
          confidence_(settings.confidence),
          members_(origin<Drafters>{std::get<I>(settings.drafters), setup, settings}...) {
      using error::bad_config, error::require;
      require<bad_config>(settings.asked > 0, "combined.asked: 0 (expected 1 drafter at least)");
      require<bad_config>(settings.drafts > 0, "combined.drafts: 0 (expected 1 at least)");
      require<bad_config>(settings.memory >= 1, "combined.memory: ", settings.memory,
                          " (expected 1 or more)");
      path_.reserve(settings.limits().depth);
    }

    template <class F>
    void each(F&& f) {
      std::apply([&](auto&... m) { (f(m), ...); }, members_);
    }
    template <class F>
    void with(std::size_t i, F&& f) {
      std::size_t k = 0;
      each([&](auto& m) {
        if (k++ == i) f(m);
      });
    }

    /// Drafters, the best first; of equals, the first.
    std::array<std::size_t, count> ranked() {
      std::array<std::size_t, count> order;
      std::array<double, count> value;
      std::size_t k = 0;
      each([&](const auto& m) {
        value[k] = m.rate.rate() + bonus_ / std::sqrt(1 + m.recently);
        order[k] = k;
        ++k;
      });
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return value[a] != value[b] ? value[a] > value[b] : a < b;
      });
      return order;
    }

    /// Extends one path by what the chosen that draft singly hold most probable.
    void fuse(const draft_request& request, std::size_t speakers, draft_tree& tree) {
      draft_tree::node at = 0;
      double sure = 1;
      while (path_.size() < path_.capacity() && path_.size() < tree.limits().depth) {
        token_draft best{no_token, -1};
        for (std::size_t k = 0; k < speakers; ++k)
          with(chosen_[k], [&]<class M>(M& m) {
            if constexpr (M::singly) {
              const auto g = path_.size() < m.most.depth ? m.drafts.draft(request, path_)
                                                         : std::optional<token_draft>{};
              m.drafted.push_back(g ? g->token : no_token);
              if (g && g->confidence > best.confidence) best = *g;
            }
          });
        sure *= static_cast<double>(best.confidence);
        if (best.token == no_token || sure < confidence_) return;
        draft_tree::node next = tree.child_with(at, best.token);
        if (next == draft_tree::none) next = tree.add(best.token, at);
        if (next == draft_tree::none) return;
        for (std::size_t k = 0; k < speakers; ++k)
          with(chosen_[k], [&]<class M>(M& m) {
            if constexpr (M::singly)
              if (const token_id t = m.drafted.back();
                  t != no_token && tree.child_with(at, t) == draft_tree::none)
                tree.add(t, at);
          });
        at = next;
        path_.push_back(best.token);
      }
    }

    void judge(token_id token) {
      if (to_judge_ == 0) return;
      --to_judge_;
      const auto depth = on_path_ <= path_.size() ? std::optional(on_path_) : std::nullopt;
      each([&](auto& m) { m.judge(token, depth); });
      on_path_ =
          on_path_ < path_.size() && path_[on_path_] == token ? on_path_ + 1 : path_.size() + 1;
    }

    std::size_t asked_;
    double bonus_, confidence_;
    std::tuple<member<Drafters>...> members_;
    std::array<std::size_t, count> chosen_{};  // drafters whose drafts are in the last tree
    std::vector<token_id> path_;               // the fused one
    bool proposed_ = false;                    // in this round
    std::size_t to_judge_ = 0;                 // tokens to come that the round brought
    std::size_t on_path_ = 0;                  // tokens of the path that came; beyond: it was left
  };
};

}  // namespace weir::inline WEIR_TARGET
