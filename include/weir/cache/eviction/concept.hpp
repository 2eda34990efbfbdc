// Eviction: which tokens stay when the budget is full.
//
// A member of `keep<A, B, C>` makes a claim. A claims first, then B from what is left, then C; what
// nobody claims is dropped. A member is a small struct with
//
//   std::size_t budget                                       entries it may claim
//
// and exactly one of
//
//   static constexpr claimed_end end                         first or last tokens of the stream:
//       looks only at positions. A list of such members is a mask: exact at any chunk size, no
//       state, no cost.
//   float score(const slots_view&, slot) const               largest scores stay, per KV head:
//       asked at every boundary, for every entry not yet claimed. Ties: the older token wins; NaN
//       ranks lowest. Costs what the score costs, once per entry and boundary.
//   void claim(claims&) const                                the escape hatch: takes what it likes
//       of what is left, up to its budget.
//
// Heads decide at once on several threads: score and claim must not change their object, nor throw.
//
// A list with a score or claim decides at *boundaries*: stream indices that are multiples of the
// cadence. Between boundaries entries only come, so a row reads at most budget + cadence entries.
// Boundaries run when the next token comes, so that the last token can still be taken back.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <weir/cache/eviction/slots_view.hpp>

namespace weir {

/// Which end of the stream a positional member claims from.
enum class claimed_end : std::uint8_t { first, last };

template <class M>
concept has_budget = requires(const M& m) {
  { m.budget } -> std::convertible_to<std::size_t>;
};

/// Claims the first or last tokens of the stream.
template <class M>
concept positional_claim = has_budget<M> && requires {
  { M::end } -> std::convertible_to<claimed_end>;
};

/// Ranks entries; the largest scores stay.
template <class M>
concept scoring_claim = has_budget<M> && requires(const M& m, const slots_view& view, slot s) {
  { m.score(view, s) } -> std::convertible_to<float>;
};

/// Takes entries itself.
template <class M>
concept free_claim = has_budget<M> && requires(const M& m, claims& c) { m.claim(c); };

template <class M>
concept eviction_member =
    (int{positional_claim<M>} + int{scoring_claim<M>} + int{free_claim<M>}) == 1;

}  // namespace weir
