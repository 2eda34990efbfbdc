// Guesses a tree of what followed the last tokens before, from tries of the stream's own tokens and
// of what all streams said: Lookahead, arXiv 2312.12728.
//
// Runs of depth + 1 tokens are remembered. The last `query` tokens are looked up as the start of a
// run, or fewer where that brings fewer guesses than what is left of a run. A guess scores (1 − w)
// times its frequency in the stream plus w times that in the shared trie, so that the latter
// decides ties, and whatever the stream does not know. `shared_part` of the guesses are left to the
// shared trie's best that are not among the best by score, if there are any. Guesses are emitted
// depth first, siblings by descending score. A width of 1 gives the single best path.
//
// Deviations. Memory is bounded as a whole rather than by tree: a full trie is squeezed as theirs
// are between requests. A stream's own trie holds what it said beside its prompts, and the shared
// trie its prompts beside what it said, unless `teaches` is off: who shares a trie lets the others
// guess from it. Runs are entered token by token, not when complete. Four slips of the authors'
// code are not repeated: there, the shared frequency dominates a single path, reserved guesses may
// be the same ones, a squeeze miscounts, and a shorter query's guesses replace a longer one's when
// they are fewer. Defaults are small enough for a pass on a CPU; theirs are 64 guesses, 12 deep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/token_trie.hpp>

namespace weir::inline WEIR_TARGET {

struct lookahead {
  std::size_t guesses = 16;
  std::size_t depth = 8;
  std::size_t width = 4;
  std::size_t query = 2;                 ///< tokens looked up at most
  std::size_t nodes = 1 << 16;           ///< of the stream's own trie, 28 to 36 bytes each
  std::shared_ptr<token_trie> shared{};  ///< with other streams of the same thread, or null
  bool teaches = true;                   ///< the stream's tokens enter the shared trie
  double shared_part = .5;               ///< of the guesses, reserved for the shared trie
  double shared_weight = 1e-4;
  token_id end_of_text = -1;  ///< nothing is remembered across this token

  static constexpr sibling_kind siblings = sibling_kind::point_mass;
  draft_limits limits() const { return {.nodes = guesses, .depth = depth, .width = width}; }

  /// From frequencies in the stream's own trie and in the shared one.
  double score(double own, double others) const {
    return (1 - shared_weight) * own + shared_weight * others;
  }

  class state;
};

class lookahead::state {
 public:
  state(const lookahead& settings, const draft_setup&)
      : how_(checked(settings)),
        own_(settings.nodes),
        own_writer_(settings.depth + 1),
        shared_writer_(settings.depth + 1) {
    picked_.reserve(settings.guesses);
    best_.reserve(settings.guesses);
    offers_.reserve(most_offers(settings));
    room_.resize(settings.depth);
    recent_.reserve(settings.query);
  }
  static std::size_t required_bytes(const lookahead& s, const draft_setup&) {
    return token_trie::required_bytes(s.nodes) + 2 * trie_writer::required_bytes(s.depth + 1) +
           (2 * s.guesses + most_offers(s)) * sizeof(guess) + s.depth * sizeof(std::size_t) +
           s.query * sizeof(token_id);
  }

  /// O(depth) a token, but for squeezes.
  void append(std::span<const token_id> tokens) {
    for (const token_id token : tokens) {
      own_writer_.write(own_, token);
      if (how_.shared && how_.teaches) shared_writer_.write(*how_.shared, token);
      if (token == how_.end_of_text) {
        own_writer_.cut();
        shared_writer_.cut();
      }
      if (recent_.size() == how_.query) recent_.erase(recent_.begin());
      recent_.push_back(token);
    }
  }

  void propose(const draft_request&, draft_tree& tree) { propose_behind(recent_, tree); }
  /// As if the stream ended with `last`. O(children met · guesses).
  void propose_behind(std::span<const token_id> last, draft_tree& tree) {
    best_.clear();
    for (std::size_t n = std::min(how_.query, last.size()); n > 0; --n) {
      pick(last.last(n), tree.limits());
      if (picked_.size() > best_.size()) std::swap(picked_, best_);
      if (best_.size() >= std::min(how_.depth + 1 - std::min(n, how_.depth), tree.limits().depth))
        break;
    }
    emit(no_guess, 0, tree);
  }

  /// Ends the stream; the shared trie stays.
  void reset() {
    own_.clear();
    own_writer_.cut();
    shared_writer_.cut();
    recent_.clear();
  }

  const token_trie& own() const { return own_; }

 private:
  static constexpr std::size_t no_guess = static_cast<std::size_t>(-1);

  /// The same run of tokens in both tries.
  struct place {
    token_trie::node own, shared;
  };
  struct guess {
    place at;
    token_id token;
    std::size_t parent;  ///< its index, or no_guess
    std::size_t depth;
    double score, worth;  ///< worth: what it is picked by
    bool emitted;
  };

  static const lookahead& checked(const lookahead& s) {
    using error::bad_config, error::require;
    require<bad_config>(s.guesses > 0 && s.depth > 0 && s.width > 0 && s.query > 0,
                        "lookahead: ", s.guesses, " guesses, depth ", s.depth, ", width ", s.width,
                        ", query ", s.query, " (expected 1 at least of each)");
    require<bad_config>(s.depth <= 1024, "lookahead.depth: ", s.depth, " (expected at most 1024)");
    require<bad_config>(s.shared_part >= 0 && s.shared_part <= 1,
                        "lookahead.shared_part: ", s.shared_part, " (expected 0 to 1)");
    require<bad_config>(s.shared_weight >= 0 && s.shared_weight <= 1,
                        "lookahead.shared_weight: ", s.shared_weight, " (expected 0 to 1)");
    return s;
  }
  static std::size_t most_offers(const lookahead& s) {
    return s.depth * std::min(s.width, s.guesses) + 1;
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

  /// Leaves the guesses behind `behind` in `picked_`, parents first.
  void pick(std::span<const token_id> behind, const draft_limits& limits) {
    picked_.clear();
    place at{token_trie::root, shared() != nullptr ? token_trie::root : token_trie::none};
    for (const token_id token : behind) at = child(at, token);
    std::fill(room_.begin(), room_.end(), limits.width);
    const auto score = [this](place p) {
      return how_.score(own_frequency(p), shared_frequency(p));
    };
    const auto reserved =
        static_cast<std::size_t>(how_.shared_part * static_cast<double>(limits.nodes));
    if (at.shared != token_trie::none) {
      grow(at, limits, limits.nodes - reserved, score);
      grow(at, limits, limits.nodes, [this](place p) { return shared_frequency(p); });
    }
    grow(at, limits, limits.nodes, score);
  }

  /// Picks the best by `worth`, until there are `wanted` picks. A child is never worth more than
  /// its parent.
  template <class Worth>
  void grow(place start, const draft_limits& limits, std::size_t wanted, const Worth& worth) {
    offers_.clear();
    const std::size_t old = picked_.size();
    offer_children(start, no_guess, 1, limits, old, worth);
    for (std::size_t i = 0; i < old; ++i)
      offer_children(picked_[i].at, i, picked_[i].depth + 1, limits, old, worth);
    while (picked_.size() < wanted && !offers_.empty()) {
      const guess g = offers_.front();
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

  /// Puts a guess in its place among the offers, of which no depth has more than there is room
  /// for; the worst one there makes way. The first `old` picks were made before.
  void offer(const guess& g, std::size_t old) {
    if (g.worth <= 0 || room_[g.depth - 1] == 0) return;
    std::size_t same_depth = 0;
    for (const guess& o : offers_) same_depth += o.depth == g.depth;
    auto worst = offers_.end();
    if (same_depth >= std::min(room_[g.depth - 1], how_.guesses)) {
      while ((--worst)->depth != g.depth) {
      }
      if (worst->worth >= g.worth) return;
    }
    for (std::size_t i = 0; i < old; ++i)
      if (picked_[i].parent == g.parent && picked_[i].token == g.token) return;
    if (worst != offers_.end()) offers_.erase(worst);
    const auto behind =
        std::upper_bound(offers_.begin(), offers_.end(), g,
                         [](const guess& a, const guess& b) { return a.worth > b.worth; });
    offers_.insert(behind, g);
  }

  void emit(std::size_t parent, draft_tree::node below, draft_tree& tree) {
    for (;;) {
      guess* next = nullptr;
      std::size_t index = 0;
      for (std::size_t i = 0; i < best_.size(); ++i)
        if (guess& g = best_[i]; g.parent == parent && !g.emitted)
          if (next == nullptr || g.score > next->score) next = &g, index = i;
      if (next == nullptr) return;
      next->emitted = true;
      const draft_tree::node n = tree.add(next->token, below);
      if (n != draft_tree::none) emit(index, n, tree);
    }
  }

  lookahead how_;
  token_trie own_;
  trie_writer own_writer_, shared_writer_;
  std::vector<token_id> recent_;      // the last `query` tokens
  std::vector<guess> picked_, best_;  // parents first
  std::vector<guess> offers_;         // worth falling
  std::vector<std::size_t> room_;     // [depth - 1] guesses that still may be there
};

}  // namespace weir::inline WEIR_TARGET
