// Drafts a tree of what followed the last tokens before, from tries of the stream's own tokens and
// of what all streams said: Lookahead, arXiv 2312.12728.
//
// Runs of depth + 1 tokens are remembered. The last `query` tokens are looked up as the start of a
// run, or fewer where that brings fewer drafts than what is left of a run. A draft scores (1 − w)
// times its frequency in the stream plus w times that in the shared trie, so that the latter
// decides ties, and whatever the stream does not know. `shared_part` of the drafts are left to the
// shared trie's best that are not among the best by score, if there are any. Drafts are emitted
// depth first, siblings by descending score. A width of 1 gives the single best path.
//
// Deviations. Memory is bounded as a whole rather than by tree: a full trie is squeezed as theirs
// are between requests. A stream's own trie holds what it said beside its prompts, and the shared
// trie its prompts beside what it said, unless `teaches` is off: who shares a trie lets the others
// draft from it. Runs are entered token by token, not when complete. Four slips of the authors'
// code are not repeated: there, the shared frequency dominates a single path, reserved drafts may
// be the same ones, a squeeze miscounts, and a shorter query's drafts replace a longer one's when
// they are fewer. Defaults are small enough for a pass on a CPU; theirs are 64 drafts, 12 deep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <weir/core/checked_size.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/token_trie.hpp>

namespace weir::inline WEIR_TARGET {

struct lookahead {
  std::size_t drafts = 16;
  std::size_t depth = 8;
  std::size_t width = 4;
  std::size_t query = 2;                 ///< tokens looked up at most
  std::size_t nodes = 1 << 16;           ///< of the stream's own trie, 28 to 36 bytes each
  std::shared_ptr<token_trie> shared{};  ///< with other streams of the same thread, or null
  bool teaches = true;                   ///< the stream's tokens enter the shared trie
  double shared_part = .5;               ///< of the drafts, reserved for the shared trie
  double shared_weight = 1e-4;
  token_id end_of_text = -1;  ///< nothing is remembered across this token

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = drafts, .depth = depth, .width = width}; }

  /// From frequencies in the stream's own trie and in the shared one.
  double score(double own, double others) const {
    return (1 - shared_weight) * own + shared_weight * others;
  }

  class state;
};

class lookahead::state {
 public:
  state(const lookahead& settings, const draft_setup&);
  static std::size_t required_bytes(const lookahead& s, const draft_setup&);

  /// O(depth) a token, but for squeezes.
  void append(std::span<const token_id> tokens);

  void propose(const draft_request&, draft_tree& tree) { propose_behind(recent_, tree); }
  /// As if the stream ended with `last`. O(children met · drafts).
  void propose_behind(std::span<const token_id> last, draft_tree& tree);

  /// Ends the stream; the shared trie stays.
  void reset();

  const token_trie& own() const { return own_; }

 private:
  static constexpr std::size_t no_draft = static_cast<std::size_t>(-1);

  /// The same run of tokens in both tries.
  struct place {
    token_trie::node own, shared;
  };
  struct draft {
    place at;
    token_id token;
    std::size_t parent;  ///< its index, or no_draft
    std::size_t depth;
    double score, worth;  ///< worth: what it is picked by
    bool emitted;
  };

  static const lookahead& checked(const lookahead& s);
  static std::size_t max_offers(const lookahead& s) {
    return checked_sum(checked_product(s.depth, std::min(s.width, s.drafts)), 1u);
  }

  const token_trie* shared() const { return how_.shared.get(); }
  double own_frequency(place p) const {
    return p.own == token_trie::none ? 0 : own_.frequency(p.own);
  }
  double shared_frequency(place p) const {
    return p.shared == token_trie::none ? 0 : shared()->frequency(p.shared);
  }
  place child(place p, token_id token) const {
    return {p.own == token_trie::none ? token_trie::none : own_.child(p.own, token),
            p.shared == token_trie::none ? token_trie::none : shared()->child(p.shared, token)};
  }

  /// Leaves the drafts behind `behind` in `picked_`, parents first.
  void pick(std::span<const token_id> behind, const draft_limits& limits);

  /// Picks the best by `worth`, until there are `wanted` picks. A child is never worth more than
  /// its parent.
  template <class Worth>
  void grow(place start, const draft_limits& limits, std::size_t wanted, const Worth& worth) {
    offers_.clear();
    const std::size_t old = picked_.size();
    offer_children(start, no_draft, 1, limits, old, worth);
    for (std::size_t i = 0; i < old; ++i)
      offer_children(picked_[i].at, i, picked_[i].depth + 1, limits, old, worth);
    while (picked_.size() < wanted && !offers_.empty()) {
      const draft g = offers_.front();
      offers_.erase(offers_.begin());
      picked_.push_back(g);
      --room_[g.depth - 1];
      offer_children(g.at, picked_.size() - 1, g.depth + 1, limits, old, worth);
    }
  }

  template <class Worth>
  void offer_children(place p, std::size_t parent, std::size_t level, const draft_limits& limits,
                      std::size_t old, const Worth& worth) {
    if (level > std::min(limits.depth, room_.size())) return;
    const auto offer_one = [&](token_id token) {
      const place at = child(p, token);
      offer({at, token, parent, level, how_.score(own_frequency(at), shared_frequency(at)),
             worth(at), false},
            old);
    };
    if (p.own != token_trie::none)
      for (auto n = own_.first_child(p.own); n != token_trie::none; n = own_.next_sibling(n))
        offer_one(own_.token(n));
    if (p.shared != token_trie::none)
      for (auto n = shared()->first_child(p.shared); n != token_trie::none;
           n = shared()->next_sibling(n))
        if (p.own == token_trie::none || own_.child(p.own, shared()->token(n)) == token_trie::none)
          offer_one(shared()->token(n));
  }

  /// Puts a draft in its place among the offers, of which no depth has more than there is room
  /// for; the worst one there makes way. The first `old` picks were made before.
  void offer(const draft& g, std::size_t old);

  void emit(std::size_t parent, draft_tree::node below, draft_tree& tree);

  lookahead how_;
  token_trie own_;
  trie_writer own_writer_, shared_writer_;
  std::vector<token_id> recent_;      // the last `query` tokens
  std::vector<draft> picked_, best_;  // parents first
  std::vector<draft> offers_;         // worth falling
  std::vector<std::size_t> room_;     // [depth - 1] drafts that still may be there
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/drafters/lookahead.inl.hpp>
#endif
