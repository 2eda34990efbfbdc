// One boundary of KV heads that decide together: policies select in turn, and what nobody selects
// is dropped.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/winning_scores.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>

namespace weir::inline WEIR_TARGET {

/// One KV head's part in a boundary, with its working memory `[entry]`.
struct deciding_head {
  std::size_t head_index = 0;
  std::size_t place = 0;  ///< whose memory it works in: heads that one thread decides share one
  slots_view::record seen = {};
  const entry_access* access = nullptr;
  std::span<std::uint8_t> taken = {};     ///< what is selected: the result
  std::span<float> score = {};            ///< [entry]
  std::span<std::uint32_t> ranking = {};  ///< [entry]

  std::size_t entries() const { return seen.order.size(); }
};

/// What the heads' keeper knows of its policies.
///   memory(m, head) -> entry_memory           of policy number m
///   budget(m, head) -> std::size_t            of the i-th deciding head
///   set_layer_statistic(m, head, float)                what a head has to say to the layers'
///   allocation
template <class K>
concept selection_keeper = requires(const K& k, const deciding_head& head, std::size_t i) {
  { k.memory(i, head) } -> std::convertible_to<entry_memory>;
  { k.budget(i, i) } -> std::convertible_to<std::size_t>;
  k.set_layer_statistic(i, i, 0.0f);
};

namespace detail {

/// A number that at most `n` of some ranks lie below, and at least `n` not above: bit by bit, by
/// counting what lies below, which takes no branch that processors would have to guess. `low` and
/// `high` are two numbers with the n-th smallest rank between them, and none below. O(ranks).
inline std::uint32_t parting_rank(std::span<const std::uint32_t> ranks, std::size_t n,
                                  std::uint32_t low, std::uint32_t high) {
  // Bits in front of these are known.
  const auto bits = static_cast<int>(std::bit_width(low ^ high));
  std::uint32_t found = bits < 32 ? low >> bits << bits : 0;
  for (std::uint32_t bit = bits > 0 ? 1u << (bits - 1) : 0; bit != 0; bit >>= 1) {
    std::uint32_t below = 0;
    for (const std::uint32_t rank : ranks) below += rank < (found | bit);
    if (below <= n) found |= bit;
    if (below == n) break;
  }
  return found;
}

/// Claims the `budget` best of the entries not yet taken, the older of equal ones first.
inline void take_best(const deciding_head& head, std::span<const float> score, std::size_t budget) {
  const std::size_t n = head.entries();
  const auto ranks = head.ranking.first(n);
  std::uint32_t candidates = 0, low = ~0u, high = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t taken = 0u - (head.taken[i] != 0), rank = score_rank(score[i]);
    low = std::min(low, rank | taken);
    high = std::max(high, rank & ~taken);
    ranks[i] = rank | taken;  // those taken rank above all scores
    candidates += taken + 1;
  }
  std::size_t losses = candidates - std::min<std::size_t>(budget, candidates);
  const std::uint32_t last = losses > 0 ? parting_rank(ranks, losses, low, high) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    head.taken[i] = ranks[i] >= last;
    losses -= ranks[i] < last;
  }
  for (std::size_t i = n; losses > 0;)
    if (ranks[--i] == last) head.taken[i] = 0, --losses;
}

/// The first or last entries. Policies select the stream's first tokens one behind the other.
template <positional_policy Policy>
void select_end(const deciding_head& head, std::size_t budget, std::uint64_t first_begin) {
  const std::size_t n = head.entries();
  if (Policy::end == anchor::first) {
    for (std::size_t i = 0; i < n && head.seen.index[head.seen.order[i]] < first_begin + budget;
         ++i)
      head.taken[i] = 1;
    return;
  }
  for (std::size_t i = n; i-- > 0 && budget > 0;)
    if (head.taken[i] == 0) head.taken[i] = 1, --budget;
}

template <scoring_policy Policy>
void score_head(const Policy& policy, const slots_view& view, const deciding_head& head) {
  const auto score = head.score.first(head.entries());
  if constexpr (scores_all<Policy>)
    policy.score_all(view, score);
  else
    for (std::size_t i = 0; i < score.size(); ++i)
      if (head.taken[i] == 0) score[i] = policy.score(view, view.at(i));
}

/// The heads' scores become their mean, in the first of them; NaN where one is NaN.
inline void average_scores(std::span<const deciding_head> heads) {
  const float share = 1.0f / static_cast<float>(heads.size());
  for (std::size_t i = 0; i < heads[0].entries(); ++i) {
    float sum = 0;
    for (const deciding_head& head : heads) sum += head.score[i];
    heads[0].score[i] = sum * share;
  }
}

/// What the first head selected, all do: they hold the same tokens.
inline void agree(std::span<const deciding_head> heads) {
  for (const deciding_head& head : heads.subspan(1))
    std::copy_n(heads[0].taken.begin(), heads[0].entries(), head.taken.begin());
}

}  // namespace detail

/// Most KV heads that can decide together.
inline constexpr std::size_t max_deciding_heads = 256;

/// Marks in each head's `taken` what `list` keeps. `heads`: one head, or all heads of a layer where
/// they decide together (working memory of consecutive heads lies `stride` apart). O(entries ·
/// policies), plus what the policies' own functions cost.
template <class... Policies, selection_keeper Keeper>
void selection_round(const keep<Policies...>& list, std::span<const deciding_head> heads,
                     std::size_t stride, const Keeper& keeper, executor& threads) {
  constexpr bool by_layer = keep_decides_by_layer<keep<Policies...>>;
  if constexpr (keep_decides_once<keep<Policies...>>)
    if (heads.size() > 1) {
      selection_round(list, heads.first(1), stride, keeper, threads);
      return detail::agree(heads);
    }
  for (const deciding_head& head : heads)
    std::fill_n(head.taken.begin(), head.entries(), std::uint8_t{0});
  std::size_t entries[max_deciding_heads];
  for (std::size_t h = 0; h < heads.size(); ++h) entries[h] = heads[h].entries();
  std::uint64_t first_begin = heads[0].seen.first_index;

  const auto select_for = [&]<class Policy>(const Policy& policy, std::size_t m) {
    const auto view_of = [&](const deciding_head& head) {
      return slots_view(head.seen, *head.access, keeper.memory(m, head));
    };
    if constexpr (positional_policy<Policy>) {
      for (std::size_t h = 0; h < heads.size(); ++h)
        detail::select_end<Policy>(heads[h], keeper.budget(m, h), first_begin);
      if (Policy::end == anchor::first) first_begin += keeper.budget(m, 0);
    } else if constexpr (scoring_policy<Policy>) {
      const std::size_t cost = heads.size() * heads[0].entries() * heads[0].seen.shape->head_dim;
      threads.for_range(heads.size(), cost, [&](std::size_t first, std::size_t last) {
        for (std::size_t h = first; h < last; ++h) {
          const slots_view view = view_of(heads[h]);
          detail::score_head(policy, view, heads[h]);
          if constexpr (allocates_layers<Policy>)
            keeper.set_layer_statistic(m, h, policy.layer_statistic(view));
        }
      });
      const head_scores scores(heads[0].score.data(), heads[0].taken.data(), stride,
                               {entries, heads.size()});
      if constexpr (by_layer && chooses<Policy>) {
        const slots_view view = view_of(heads[0]);
        selection open(view, heads[0].taken.first(entries[0]), keeper.budget(m, 0));
        policy.choose(scores, open);
        detail::agree(heads);
      } else if constexpr (by_layer) {
        detail::average_scores(heads);
        detail::take_best(heads[0], heads[0].score, keeper.budget(m, 0));
        detail::agree(heads);
      } else {
        std::size_t budgets[max_deciding_heads];
        for (std::size_t h = 0; h < heads.size(); ++h) budgets[h] = keeper.budget(m, h);
        if constexpr (allocates_heads<Policy>) policy.allocate(scores, {budgets, heads.size()});
        for (std::size_t h = 0; h < heads.size(); ++h)
          detail::take_best(heads[h], heads[h].score, budgets[h]);
      }
    } else if constexpr (selecting_policy<Policy>) {
      for (std::size_t h = 0; h < (by_layer ? 1 : heads.size()); ++h) {
        const slots_view view = view_of(heads[h]);
        selection open(view, heads[h].taken.first(entries[h]), keeper.budget(m, h));
        policy.select(open);
      }
      if constexpr (by_layer) detail::agree(heads);
    }
  };
  std::size_t m = 0;
  list.for_each([&](const auto& policy) { select_for(policy, m++); });
}

/// keep_all keeps all.
template <class Keeper>
void selection_round(const keep_all&, std::span<const deciding_head> heads, std::size_t,
                     const Keeper&, executor&) {
  for (const deciding_head& head : heads)
    std::fill_n(head.taken.begin(), head.entries(), std::uint8_t{1});
}

}  // namespace weir::inline WEIR_TARGET
