// Eviction: which tokens stay when the budget is full.
//
// keep<A, B, C> is a list of policies. A selects entries first, then B from what is left, then C;
// what no policy selects is dropped, or goes to the list's evict handler. A policy is a small
// struct with
//
//   std::size_t budget                        entries it may select, per KV head
//
// and exactly one of
//
//   static constexpr anchor end               first or last tokens of the stream: looks only at
//       positions. A list of such policies is a mask: exact at any chunk size, no state, no cost.
//   float score(const slots_view&, slot) const
//       the largest scores stay. Asked at every boundary, for every entry not yet selected. Ties:
//       the older token wins; NaN ranks as −∞.
//   void score_all(const slots_view&, std::span<float> scores) const
//       the same for all entries at once, selected or not: scores `[entry]`, in stream order.
//   void select(selection&) const             the escape hatch: takes what it likes of what is
//   left,
//       up to its budget.
//
// It may have any of the following; what nobody asks for is not computed.
//
//   static constexpr signals needs            what it must be told, or is best handed ready
//   std::size_t last_rows() const             it is told only of so many rows before each boundary
//   static constexpr decision_scope scope     whether each KV head decides for itself (the
//   default),
//       or all heads of a layer keep the same tokens: one such policy makes its whole list decide
//       by layer, other policies' scores averaged over the heads. Or the policy goes by nothing
//       that differs from head to head: where that holds for a whole list, one head decides for
//       all.
//   std::size_t notes(const kv_shape&) const    floats kept with each entry, 0 when a token comes
//   std::size_t state(const kv_shape&) const    floats kept for each (layer, KV head)
//   std::size_t scratch(const kv_shape&) const  arrays `[entry]` to work in
//   void observe(const observed_row&) const     called for each row, in stream order, once it is
//       certain that the row stays
//   void on_append(const slots_view&, slot, const token_info&) const    called once for each entry,
//       in stream order, at the first boundary behind it
//   std::size_t budget_for(const kv_shape&, std::size_t layer, std::size_t kv_head) const
//       unequal budgets that never change
//   void allocate(const head_scores&, std::span<std::size_t> budgets) const
//       budgets `[kv_head]` of a layer, anew at every boundary; their sum must stay
//   float layer_statistic(const slots_view&) const, and
//   void allocate_layers(const kv_shape&, std::span<const float> statistics,
//                        std::span<std::size_t> budgets) const
//       budgets `[layer]` at the next boundary, from the statistics `[layer, kv_head]` of this one;
//       they must sum to layers · budget
//   std::size_t max_layer_budget(const kv_shape&) const    with it, no layer ever gets more: the
//       cache lays out what it remembers of entries for so many
//   void choose(const head_scores&, selection&) const    for policies that decide by layer: takes
//       entries by the scores of all heads, instead of those with the largest mean
//   static constexpr bool needs_original_positions    true: reads keys as rotated at their index
//   void validate(const kv_shape&) const    throws error::bad_config if its numbers make no sense;
//       called before a cache allocates anything
//
// A list may end in an evict handler: a policy without budget that has
//
//   void on_evict(const slots_view&, std::span<const slot> dropped,
//                 std::span<const slot> kept) const
//
// Heads decide at once on several threads: no function may change its object, nor throw, but for
// `validate`. Notes, state and scratch are the place for what changes.
//
// A list that scores or selects decides at *boundaries*: stream indices that are multiples of the
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

/// Which end of the stream a positional policy selects from.
enum class anchor : std::uint8_t { first, last };

/// What a policy is told beyond keys, values and stream indices, which all may look at; and what
/// of those is made quick to look at. A set: combine with |.
enum class signals : std::uint8_t {
  nothing = 0,
  attention_probabilities = 1,  ///< of every row: mean over the query heads of a KV head
  attention_logits = 2,         ///< of every row and query head
  queries = 4,                  ///< unrotated, of every row
  log_probability = 8,          ///< of each token under the logits before it; cuts the forward pass
  new_keys = 16,                ///< no more than others, but view.key is fast in `on_append`
  largest_probabilities = 32,   ///< of every row: the largest over the query heads of a KV head
};
constexpr signals operator|(signals a, signals b) {
  return static_cast<signals>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr signals without(signals set, signals part) {
  return static_cast<signals>(static_cast<std::uint8_t>(set) & ~static_cast<std::uint8_t>(part));
}
/// True if `set` holds everything in `part`.
constexpr bool includes(signals set, signals part) {
  return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(part)) ==
         static_cast<std::uint8_t>(part);
}

/// Who decides: each KV head for itself; all heads of a layer together; or one of them for all,
/// since what the policy goes by is the same everywhere, for as long as all policies of a list say
/// so.
enum class decision_scope : std::uint8_t { kv_head, layer, one_for_all };

template <class P>
concept has_budget = requires(const P& policy) {
  { policy.budget } -> std::convertible_to<std::size_t>;
};

/// Claims the first or last tokens of the stream.
template <class P>
concept positional_policy = has_budget<P> && requires {
  { P::end } -> std::convertible_to<anchor>;
};

/// Ranks entries; the largest scores stay.
template <class P>
concept scores_one = requires(const P& policy, const slots_view& view, slot s) {
  { policy.score(view, s) } -> std::convertible_to<float>;
};
template <class P>
concept scores_all = requires(const P& policy, const slots_view& view, std::span<float> out) {
  policy.score_all(view, out);
};
template <class P>
concept scoring_policy = has_budget<P> && (scores_one<P> || scores_all<P>);

/// Takes entries itself.
template <class P>
concept selecting_policy =
    has_budget<P> && requires(const P& policy, selection& c) { policy.select(c); };

template <class P>
concept eviction_policy = (int{positional_policy<P>} + int{scores_one<P> && has_budget<P>} +
                           int{scores_all<P> && has_budget<P>} + int{selecting_policy<P>}) == 1;

/// What becomes of entries that nobody selected.
template <class F>
concept evict_handler =
    !has_budget<F> && requires(const F& f, const slots_view& view, std::span<const slot> slots) {
      f.on_evict(view, slots, slots);
    };

// ---- what a policy may have -----------------------------------------------------------------

template <class P>
concept observing = requires(const P& policy, const observed_row& row) { policy.observe(row); };
template <class P>
concept has_on_append = requires(const P& policy, const slots_view& view, slot s,
                                 const token_info& a) { policy.on_append(view, s, a); };
template <class P>
concept allocates_heads = requires(const P& policy, const head_scores& s,
                                   std::span<std::size_t> b) { policy.allocate(s, b); };
template <class P>
concept allocates_layers = requires(const P& policy, const kv_shape& shape, const slots_view& view,
                                    std::span<const float> r, std::span<std::size_t> b) {
  { policy.layer_statistic(view) } -> std::convertible_to<float>;
  policy.allocate_layers(shape, r, b);
};
template <class P>
concept chooses =
    requires(const P& policy, const head_scores& s, selection& c) { policy.choose(s, c); };
template <class P>
concept validated = requires(const P& policy, const kv_shape& s) { policy.validate(s); };
template <class P>
concept gives_notes = requires(const P& policy, const kv_shape& s) {
  { policy.notes(s) } -> std::convertible_to<std::size_t>;
};
template <class P>
concept gives_state = requires(const P& policy, const kv_shape& s) {
  { policy.state(s) } -> std::convertible_to<std::size_t>;
};
template <class P>
concept gives_scratch = requires(const P& policy, const kv_shape& s) {
  { policy.scratch(s) } -> std::convertible_to<std::size_t>;
};
template <class P>
concept gives_last_rows = requires(const P& policy) {
  { policy.last_rows() } -> std::convertible_to<std::size_t>;
};
template <class P>
concept gives_budgets = requires(const P& policy, const kv_shape& s, std::size_t i) {
  { policy.budget_for(s, i, i) } -> std::convertible_to<std::size_t>;
};
template <class P>
concept bounds_layers = requires(const P& policy, const kv_shape& s) {
  { policy.max_layer_budget(s) } -> std::convertible_to<std::size_t>;
};

/// What a policy must be told.
template <class P>
inline constexpr signals signals_of = signals::nothing;
template <class P>
  requires requires { P::needs; }
inline constexpr signals signals_of<P> = P::needs;

template <class P>
inline constexpr decision_scope decision_scope_of = decision_scope::kv_head;
template <class P>
  requires requires { P::scope; }
inline constexpr decision_scope decision_scope_of<P> = P::scope;

template <class P>
inline constexpr bool wants_original_positions = false;
template <class P>
  requires requires { P::needs_original_positions; }
inline constexpr bool wants_original_positions<P> = P::needs_original_positions;

/// True if budgets change while the stream runs.
template <class P>
inline constexpr bool has_changing_budgets = allocates_heads<P> || allocates_layers<P>;

/// The largest budget that a policy which allocates layers may give one.
template <allocates_layers P>
std::size_t max_layer_budget(const P& policy, const kv_shape& shape) {
  const std::size_t all = shape.layers * policy.budget;
  if constexpr (bounds_layers<P>) return std::min(all, policy.max_layer_budget(shape));
  return all;
}
/// The largest budget that a policy may come to have in a KV head, of which it has `now`.
template <class P>
std::size_t max_budget(const P& policy, const kv_shape& shape, std::size_t now) {
  if constexpr (allocates_layers<P>) now = max_layer_budget(policy, shape);
  return allocates_heads<P> ? shape.kv_heads * now : now;
}

/// Rows before a boundary that the policy is told of.
template <class P>
std::size_t rows_told(const P& policy) {
  if constexpr (gives_last_rows<P>)
    return policy.last_rows();
  else if constexpr (observing<P>)
    return std::numeric_limits<std::size_t>::max();
  else
    return 0;
}
template <class P>
void validate_policy(const P& policy, const kv_shape& shape) {
  if constexpr (validated<P>) policy.validate(shape);
}
template <class P>
std::size_t notes_of(const P& policy, const kv_shape& shape) {
  if constexpr (gives_notes<P>) return policy.notes(shape);
  return 0;
}
template <class P>
std::size_t state_of(const P& policy, const kv_shape& shape) {
  if constexpr (gives_state<P>) return policy.state(shape);
  return 0;
}
template <class P>
std::size_t scratch_of(const P& policy, const kv_shape& shape) {
  if constexpr (gives_scratch<P>) return policy.scratch(shape);
  return 0;
}
/// Entries that the policy may select in one (layer, KV head), while budgets do not change.
template <class P>
std::size_t budget_of(const P& policy, const kv_shape& shape, std::size_t layer,
                      std::size_t kv_head) {
  if constexpr (gives_budgets<P>)
    return policy.budget_for(shape, layer, kv_head);
  else
    return policy.budget;
}

}  // namespace weir::inline WEIR_TARGET
