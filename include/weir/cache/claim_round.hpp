// One boundary of one KV head: members claim in turn, and what nobody claims is dropped.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>

#include <weir/cache/eviction/keep.hpp>

namespace weir {

/// Working memory of a boundary, `[entry]` each.
struct claim_scratch {
  std::span<std::uint8_t> taken;
  std::span<float> score;
  std::span<std::uint32_t> candidate;
};

namespace detail {

/// `first_end`: stream index behind the first tokens that members claimed so far.
template <class Member>
void claim_for(const Member& member, const slots_view& view, std::uint64_t& first_end,
               const claim_scratch& scratch) {
  const std::size_t n = view.size(), budget = member.budget;
  const std::span<std::uint8_t> taken = scratch.taken.first(n);
  if constexpr (positional_claim<Member>) {
    if (Member::end == claimed_end::first) {
      first_end += budget;
      for (std::size_t i = 0; i < n && view.index(view.at(i)).value < first_end; ++i) taken[i] = 1;
    } else {
      std::size_t left = budget;
      for (std::size_t i = n; i-- > 0 && left > 0;)
        if (taken[i] == 0) taken[i] = 1, --left;
    }
  } else if constexpr (scoring_claim<Member>) {
    std::size_t candidates = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (taken[i] != 0) continue;
      const float score = member.score(view, view.at(i));
      scratch.score[i] = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
      scratch.candidate[candidates++] = static_cast<std::uint32_t>(i);
    }
    const auto list = scratch.candidate.first(candidates);
    const std::size_t wins = std::min(budget, candidates);
    // Candidates lie in stream order, so the smaller number is the older token.
    const auto ranks_above = [&](std::uint32_t a, std::uint32_t b) {
      return scratch.score[a] != scratch.score[b] ? scratch.score[a] > scratch.score[b] : a < b;
    };
    if (wins < candidates)
      std::nth_element(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(wins), list.end(),
                       ranks_above);
    for (const std::uint32_t i : list.first(wins)) taken[i] = 1;
  } else {
    claims open(view, taken, budget);
    member.claim(open);
  }
}

}  // namespace detail

/// Marks in `scratch.taken` what `keep` keeps of the entries of `view`. O(entries · members), plus
/// what the members' own functions cost.
template <class... Members>
void claim_round(const keep<Members...>& keep, const slots_view& view, std::uint64_t first_index,
                 const claim_scratch& scratch) {
  std::fill_n(scratch.taken.begin(), view.size(), std::uint8_t{0});
  std::uint64_t first_end = first_index;
  std::apply(
      [&](const auto&... member) { (detail::claim_for(member, view, first_end, scratch), ...); },
      keep.members);
}

}  // namespace weir
