// Bodies of speculation/drafters/lookahead.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/concept.hpp>
#include <weir/speculation/drafters/lookahead.hpp>
#include <weir/speculation/token_trie.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE lookahead::state::state(const lookahead& settings, const draft_setup&)
    : how_(checked(settings)),
      own_(settings.nodes),
      own_writer_(settings.depth + 1),
      shared_writer_(settings.depth + 1) {
  picked_.reserve(settings.drafts);
  best_.reserve(settings.drafts);
  offers_.reserve(max_offers(settings));
  room_.resize(settings.depth);
  recent_.reserve(settings.query);
}

WEIR_INLINE std::size_t lookahead::state::required_bytes(const lookahead& s, const draft_setup&) {
  const std::size_t drafts = checked_sum(checked_product(2u, checked(s).drafts), max_offers(s));
  return checked_sum(token_trie::required_bytes(s.nodes),
                     2 * trie_writer::required_bytes(s.depth + 1),
                     checked_product(drafts, sizeof(draft)), s.depth * sizeof(std::size_t),
                     checked_product(s.query, sizeof(token_id)));
}

WEIR_INLINE void lookahead::state::append(std::span<const token_id> tokens) {
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

WEIR_INLINE void lookahead::state::propose_behind(std::span<const token_id> last,
                                                  draft_tree& tree) {
  best_.clear();
  for (std::size_t n = std::min(how_.query, last.size()); n > 0; --n) {
    pick(last.last(n), tree.limits());
    if (picked_.size() > best_.size()) std::swap(picked_, best_);
    if (best_.size() >= std::min(how_.depth + 1 - std::min(n, how_.depth), tree.limits().depth))
      break;
  }
  emit(no_draft, 0, tree);
}

WEIR_INLINE void lookahead::state::reset() {
  own_.clear();
  own_writer_.cut();
  shared_writer_.cut();
  recent_.clear();
}

WEIR_INLINE const lookahead& lookahead::state::checked(const lookahead& s) {
  using error::bad_config, error::require;
  require<bad_config>(s.drafts > 0 && s.depth > 0 && s.width > 0 && s.query > 0,
                      "lookahead: ", s.drafts, " drafts, depth ", s.depth, ", width ", s.width,
                      ", query ", s.query, " (expected 1 at least of each)");
  require<bad_config>(s.depth <= 1024, "lookahead.depth: ", s.depth, " (expected at most 1024)");
  require<bad_config>(s.shared_part >= 0 && s.shared_part <= 1,
                      "lookahead.shared_part: ", s.shared_part, " (expected 0 to 1)");
  require<bad_config>(s.shared_weight >= 0 && s.shared_weight <= 1,
                      "lookahead.shared_weight: ", s.shared_weight, " (expected 0 to 1)");
  return s;
}

WEIR_INLINE void lookahead::state::pick(std::span<const token_id> behind,
                                        const draft_limits& limits) {
  picked_.clear();
  place at{token_trie::root, shared() != nullptr ? token_trie::root : token_trie::none};
  for (const token_id token : behind) at = child(at, token);
  std::fill(room_.begin(), room_.end(), limits.width);
  const auto score = [this](place p) { return how_.score(own_frequency(p), shared_frequency(p)); };
  const auto reserved =
      static_cast<std::size_t>(how_.shared_part * static_cast<double>(limits.nodes));
  if (at.shared != token_trie::none) {
    grow(at, limits, limits.nodes - reserved, score);
    grow(at, limits, limits.nodes, [this](place p) { return shared_frequency(p); });
  }
  grow(at, limits, limits.nodes, score);
}

WEIR_INLINE void lookahead::state::offer(const draft& g, std::size_t old) {
  if (g.worth <= 0 || room_[g.depth - 1] == 0) return;
  std::size_t same_depth = 0;
  for (const draft& o : offers_) same_depth += o.depth == g.depth;
  auto worst = offers_.end();
  if (same_depth >= std::min(room_[g.depth - 1], how_.drafts)) {
    while ((--worst)->depth != g.depth) {
    }
    if (worst->worth >= g.worth) return;
  }
  for (std::size_t i = 0; i < old; ++i)
    if (picked_[i].parent == g.parent && picked_[i].token == g.token) return;
  if (worst != offers_.end()) offers_.erase(worst);
  const auto behind =
      std::upper_bound(offers_.begin(), offers_.end(), g,
                       [](const draft& a, const draft& b) { return a.worth > b.worth; });
  offers_.insert(behind, g);
}

WEIR_INLINE void lookahead::state::emit(std::size_t parent, draft_tree::node below,
                                        draft_tree& tree) {
  for (;;) {
    draft* next = nullptr;
    std::size_t index = 0;
    for (std::size_t i = 0; i < best_.size(); ++i)
      if (draft& g = best_[i]; g.parent == parent && !g.emitted)
        if (next == nullptr || g.score > next->score) next = &g, index = i;
    if (next == nullptr) return;
    next->emitted = true;
    const draft_tree::node n = tree.add(next->token, below);
    if (n != draft_tree::none) emit(index, n, tree);
  }
}

}  // namespace weir::inline WEIR_TARGET
