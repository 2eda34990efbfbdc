// What every drafter must hold to. Tests that use it link count_allocations.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/core/philox.hpp>
#include <weir/speculation/concept.hpp>

#include "support/catch.hpp"
#include "support/count_allocations.hpp"

namespace weir_test {

using ids = std::vector<weir::token_id>;

/// Tokens without a pattern, below `vocabulary`; or with one: half of the time, a stretch of what
/// came before again.
inline ids random_tokens(std::size_t n, std::size_t vocabulary, std::uint64_t seed,
                         bool repeats = false) {
  const weir::random_source random{seed};
  ids out;
  while (out.size() < n) {
    const std::uint64_t bits = random.bits(weir::purpose::drafting, out.size());
    if (repeats && bits % 8 == 0 && out.size() > 20) {
      const std::size_t from = (bits >> 8) % (out.size() - 10);
      for (std::size_t i = 0; i < 8; ++i) out.push_back(out[from + i]);
    } else {
      out.push_back(static_cast<weir::token_id>((bits >> 40) % vocabulary));
    }
  }
  out.resize(n);
  return out;
}

/// What there is in a tree, the root left out.
inline ids drafts_of(const weir::draft_tree& tree) {
  return {tree.tokens().begin() + 1, tree.tokens().end()};
}
inline std::vector<std::size_t> parents_of(const weir::draft_tree& tree) {
  std::vector<std::size_t> out;
  for (weir::draft_tree::node n = 1; n < tree.size(); ++n) out.push_back(tree.parent(n));
  return out;
}

/// Siblings differ, and no limit is broken. Allocates nothing.
inline bool is_sound(const weir::draft_tree& tree) {
  const weir::draft_limits& most = tree.limits();
  if (tree.drafts() > most.nodes || tree.deepest() > most.depth) return false;
  for (weir::draft_tree::node n = 1; n < tree.size(); ++n) {
    std::size_t width = 0;
    for (weir::draft_tree::node m = 1; m < tree.size(); ++m) {
      width += tree.depth(m) == tree.depth(n);
      if (m < n && tree.parent(m) == tree.parent(n) && tree.token(m) == tree.token(n)) return false;
    }
    if (width > most.width) return false;
  }
  return true;
}

/// What a drafter drafts behind `tokens`.
template <class State>
weir::draft_tree drafted(State& state, weir::token_id root, const weir::draft_limits& limits,
                         std::uint64_t round = 0) {
  weir::draft_tree tree(limits);
  tree.start(root, limits);
  state.propose({.index = round, .round = round}, tree);
  return tree;
}

/// A stream of rounds over `tokens`, as a sequence drives a drafter; `look(tree)` at each tree.
template <class State, class Look>
void drive(State& state, std::span<const weir::token_id> tokens, weir::draft_tree& tree,
           const weir::draft_limits& limits, Look&& look, std::size_t prompt = 16) {
  std::size_t i = std::min(prompt, tokens.size());
  state.append(tokens.first(i));
  for (std::uint64_t round = 0; i < tokens.size(); ++round) {
    tree.start(tokens[i - 1], limits);
    state.propose({.index = i - 1, .round = round}, tree);
    look(tree);
    std::size_t accepted = 0;
    for (weir::draft_tree::node at = 0; i + accepted < tokens.size(); ++accepted)
      if ((at = tree.child_with(at, tokens[i + accepted])) == weir::draft_tree::none) break;
    if constexpr (weir::learns_from_rounds<State>)
      state.learn({tree.drafts(), tree.deepest(), accepted, 1e-6, 1e-3, 1 + tree.drafts()});
    const std::size_t taken = std::min(accepted + 1, tokens.size() - i);
    for (std::size_t k = 0; k < taken; ++k) state.append(tokens.subspan(i + k, 1));
    i += taken;
  }
}

/// Memory is what was said, all of it is taken at construction, trees are sound, the same stream
/// gives the same drafts, also after a reset, also within narrower limits.
template <class Drafter>
void check_drafter(const Drafter& drafter, std::size_t vocabulary = 40, bool same_again = true) {
  const weir::draft_setup setup{.vocabulary = vocabulary};
  const std::size_t before = bytes_asked();
  typename Drafter::state state(drafter, setup);
  CHECK(bytes_asked() - before == Drafter::state::required_bytes(drafter, setup));

  const ids tokens = random_tokens(3000, vocabulary, 7, true);
  const weir::draft_limits most = drafter.limits();
  weir::draft_tree tree(most);
  std::uint64_t seen = 0;
  bool sound = true;
  const auto look = [&](const weir::draft_tree& t) {
    sound = sound && is_sound(t);
    for (weir::draft_tree::node n = 1; n < t.size(); ++n)
      seen = seen * 1099511628211u + static_cast<std::uint64_t>(t.token(n)) * 31 + t.parent(n);
  };
  const std::size_t count = allocation_count();
  drive(state, tokens, tree, most, look);
  const std::uint64_t first = seen;
  seen = 0;
  state.reset();
  drive(state, tokens, tree, most, look);
  const std::uint64_t second = seen;
  for (const weir::draft_limits limits :
       {weir::draft_limits{1, 1, 1}, weir::draft_limits{3, 2, 2}, weir::draft_limits{5, 5, 1}}) {
    state.reset();
    drive(state, tokens, tree, limits, look);
  }
  CHECK(allocation_count() == count);
  CHECK(sound);
  CHECK(first != 0);
  if (same_again) CHECK(first == second);
}

}  // namespace weir_test
