// Eviction: which tokens stay when the budget is full.
//
// A member of `keep<A, B, C>` makes a claim. A claims first, then B from what is left, then C; what
// nobody claims is dropped, or meets the list's fate. A member is a small struct with
//
//   std::size_t budget                                       entries it may claim, per KV head
//
// and exactly one of
//
//   static constexpr claimed_end end                         first or last tokens of the stream:
//       looks only at positions. A list of such members is a mask: exact at any chunk size, no
//       state, no cost.
//   float score(const slots_view&, slot) const               largest scores stay. Asked at every
//       boundary, for every entry not yet claimed. Ties: the older token wins; NaN ranks as −∞.
//   void score_all(const slots_view&, std::span<float>) const
//       the same for all entries at once, claimed or not, in stream order.
//   void claim(claims&) const                                the escape hatch: takes what it likes
//       of what is left, up to its budget.
//
// It may have any of the following; what nobody asks for is not computed.
//
//   static constexpr told needs            what it must be told, or is best handed ready
//   std::size_t last_rows() const          told only of so many rows before each boundary
//   static constexpr deciding unit         whether each KV head decides for itself (the default),
//       or all heads of a layer keep the same tokens: one such member makes its whole list decide
//       by layer, other members' scores averaged over the heads. Or the member goes by nothing that
//       differs from head to head: where that holds for a whole list, one head decides for all.
//   std::size_t notes(const kv_shape&) const    floats kept with each entry, 0 when a token comes
//   std::size_t state(const kv_shape&) const    floats kept for each (layer, KV head)
//   std::size_t scratch(const kv_shape&) const  arrays `[entry]` to work in
//   void observe(const observed_row&) const     called for each row, in stream order, once it is
//       certain that the row stays
//   void describe(const slots_view&, slot, const arrival&) const    called once for each entry, in
//       stream order, at the first boundary behind it
//   std::size_t budget_for(const kv_shape&, std::size_t layer, std::size_t kv_head) const
//       unequal budgets that never change
//   void apportion(const head_scores&, std::span<std::size_t> budgets) const
//       budgets of a layer's heads, anew at every boundary; their sum must stay
//   float report(const slots_view&) const, and
//   void apportion_layers(const kv_shape&, std::span<const float>, std::span<std::size_t>) const
//       budgets of the layers at the next boundary, from what every (layer, KV head) reported at
//       this one; they must sum to layers · budget
//   std::size_t most_of_layer(const kv_shape&) const    with it, no layer ever gets more: what the
//       cache remembers of entries is laid out for so many
//   void choose(const head_scores&, claims&) const    for members that decide by layer: takes
//       entries by the scores of all heads, instead of those with the largest mean
//   static constexpr bool needs_original_positions    true: reads keys as rotated at their index
//   void validate(const kv_shape&) const    throws error::bad_config if its numbers make no sense;
//       called before a cache allocates anything
//
// A list may end in a fate: a member without budget that has
//
//   void meet(const slots_view&, std::span<const slot> dropped, std::span<const slot> kept) const
//
// Heads decide at once on several threads: no function may change its object, nor throw, but for
// `validate`. Notes, state and scratch are the place for what changes.
//
// A list with a score or claim decides at *boundaries*: stream indices that are multiples of the
// cadence. Between boundaries entries only come, so a row reads at most budget + cadence entries.
// Boundaries run when the next token comes, so that the last token can still be taken back.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/cache/eviction/observed_row.hpp>
#include <weir/cache/eviction/slots_view.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Which end of the stream a positional member claims from.
enum class claimed_end : std::uint8_t { first, last };

/// What a member is told, beyond keys, values and stream indices, which all may look at; and what
/// of those is made quick to look at. A set: combine with |.
enum class told : std::uint8_t {
  nothing = 0,
  probabilities = 1,    ///< of attention, of every row: mean over the query heads of a KV head
  logits = 2,           ///< of attention, of every row and query head
  queries = 4,          ///< unrotated, of every row
  log_probability = 8,  ///< of each token under the logits before it; cuts the forward pass
  new_keys = 16,        ///< no more than others, but view.key is fast in `describe`
  largest_probabilities = 32,  ///< as probabilities, but the largest over the query heads
};
constexpr told operator|(told a, told b) {
  return static_cast<told>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr told without(told set, told part) {
  return static_cast<told>(static_cast<std::uint8_t>(set) & ~static_cast<std::uint8_t>(part));
}
/// True if `set` holds everything in `part`.
constexpr bool includes(told set, told part) {
  return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(part)) ==
         static_cast<std::uint8_t>(part);
}

/// Who decides: each KV head for itself; all heads of a layer together; or one of them for all,
/// since what the member goes by is the same everywhere, for as long as all members of a list say
/// so.
enum class deciding : std::uint8_t { kv_head, layer, one_for_all };

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
concept scores_one = requires(const M& m, const slots_view& view, slot s) {
  { m.score(view, s) } -> std::convertible_to<float>;
};
template <class M>
concept scores_all =
    requires(const M& m, const slots_view& view, std::span<float> out) { m.score_all(view, out); };
template <class M>
concept scoring_claim = has_budget<M> && (scores_one<M> || scores_all<M>);

/// Takes entries itself.
template <class M>
concept free_claim = has_budget<M> && requires(const M& m, claims& c) { m.claim(c); };

template <class M>
concept eviction_member = (int{positional_claim<M>} + int{scores_one<M> && has_budget<M>} +
                           int{scores_all<M> && has_budget<M>} + int{free_claim<M>}) == 1;

/// What becomes of entries that nobody claimed.
template <class F>
concept eviction_fate =
    !has_budget<F> && requires(const F& f, const slots_view& view, std::span<const slot> slots) {
      f.meet(view, slots, slots);
    };

// ---- what a member may have -----------------------------------------------------------------

template <class M>
concept observing = requires(const M& m, const observed_row& row) { m.observe(row); };
template <class M>
concept describing = requires(const M& m, const slots_view& view, slot s, const arrival& a) {
  m.describe(view, s, a);
};
template <class M>
concept apportions_heads =
    requires(const M& m, const head_scores& s, std::span<std::size_t> b) { m.apportion(s, b); };
template <class M>
concept apportions_layers = requires(const M& m, const kv_shape& shape, const slots_view& view,
                                     std::span<const float> r, std::span<std::size_t> b) {
  { m.report(view) } -> std::convertible_to<float>;
  m.apportion_layers(shape, r, b);
};
template <class M>
concept chooses = requires(const M& m, const head_scores& s, claims& c) { m.choose(s, c); };
template <class M>
concept validated = requires(const M& m, const kv_shape& s) { m.validate(s); };
template <class M>
concept gives_notes = requires(const M& m, const kv_shape& s) {
  { m.notes(s) } -> std::convertible_to<std::size_t>;
};
template <class M>
concept gives_state = requires(const M& m, const kv_shape& s) {
  { m.state(s) } -> std::convertible_to<std::size_t>;
};
template <class M>
concept gives_scratch = requires(const M& m, const kv_shape& s) {
  { m.scratch(s) } -> std::convertible_to<std::size_t>;
};
template <class M>
concept gives_last_rows = requires(const M& m) {
  { m.last_rows() } -> std::convertible_to<std::size_t>;
};
template <class M>
concept gives_budgets = requires(const M& m, const kv_shape& s, std::size_t i) {
  { m.budget_for(s, i, i) } -> std::convertible_to<std::size_t>;
};
template <class M>
concept bounds_layers = requires(const M& m, const kv_shape& s) {
  { m.most_of_layer(s) } -> std::convertible_to<std::size_t>;
};

/// What a member must be told.
template <class M>
inline constexpr told told_to = told::nothing;
template <class M>
  requires requires { M::needs; }
inline constexpr told told_to<M> = M::needs;

template <class M>
inline constexpr deciding deciding_unit = deciding::kv_head;
template <class M>
  requires requires { M::unit; }
inline constexpr deciding deciding_unit<M> = M::unit;

template <class M>
inline constexpr bool wants_original_positions = false;
template <class M>
  requires requires { M::needs_original_positions; }
inline constexpr bool wants_original_positions<M> = M::needs_original_positions;

/// True if budgets change while the stream runs.
template <class M>
inline constexpr bool has_changing_budgets = apportions_heads<M> || apportions_layers<M>;

/// The largest budget that a member which apportions layers may give one.
template <apportions_layers M>
std::size_t most_of_layer(const M& m, const kv_shape& shape) {
  const std::size_t all = shape.layers * m.budget;
  if constexpr (bounds_layers<M>) return std::min(all, m.most_of_layer(shape));
  return all;
}
/// The largest budget that a member may come to have in a KV head, of which it has `now`.
template <class M>
std::size_t most_budget(const M& m, const kv_shape& shape, std::size_t now) {
  if constexpr (apportions_layers<M>) now = most_of_layer(m, shape);
  return apportions_heads<M> ? shape.kv_heads * now : now;
}

/// Rows before a boundary that the member is told of.
template <class M>
std::size_t rows_told(const M& m) {
  if constexpr (gives_last_rows<M>)
    return m.last_rows();
  else if constexpr (observing<M>)
    return std::numeric_limits<std::size_t>::max();
  else
    return 0;
}
template <class M>
void validate_member(const M& m, const kv_shape& shape) {
  if constexpr (validated<M>) m.validate(shape);
}
template <class M>
std::size_t notes_of(const M& m, const kv_shape& shape) {
  if constexpr (gives_notes<M>) return m.notes(shape);
  return 0;
}
template <class M>
std::size_t state_of(const M& m, const kv_shape& shape) {
  if constexpr (gives_state<M>) return m.state(shape);
  return 0;
}
template <class M>
std::size_t scratch_of(const M& m, const kv_shape& shape) {
  if constexpr (gives_scratch<M>) return m.scratch(shape);
  return 0;
}
/// Entries that the member may claim in one (layer, KV head), while budgets do not change.
template <class M>
std::size_t budget_of(const M& m, const kv_shape& shape, std::size_t layer, std::size_t kv_head) {
  if constexpr (gives_budgets<M>)
    return m.budget_for(shape, layer, kv_head);
  else
    return m.budget;
}

}  // namespace weir::inline WEIR_TARGET
