// keep<A, B, C>: what stays. And keep_all: everything does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/hooks.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Nothing is evicted; the stream ends at `capacity` tokens.
struct keep_all {
  std::size_t capacity = 0;

  template <class Use>
  decltype(auto) with_list(std::size_t, Use use) const {
    return use(*this);
  }
  /// Throws error::bad_config unless a cache can hold so many.
  std::size_t checked_capacity() const {
    error::require<error::bad_config>(capacity > 0 && capacity <= std::size_t{1} << 31,
                                      "keep_all.capacity: ", capacity, " (expected 1 to 2^31)");
    return capacity;
  }
};

namespace detail {

/// Policies, of which the last may be an evict handler.
template <class... Policies>
inline constexpr bool legal_policies = false;
template <class Last>
inline constexpr bool legal_policies<Last> = eviction_policy<Last>;
template <class First, class Second, class... Rest>
inline constexpr bool legal_policies<First, Second, Rest...> =
    eviction_policy<First> &&
    ((sizeof...(Rest) == 0 && evict_handler<Second>) || legal_policies<Second, Rest...>);

/// True if whoever chooses by the scores of all heads has them at hand.
template <class... Policies>
inline constexpr bool choose_by_layer =
    ((!chooses<Policies> || decision_scope_of<Policies> == decision_scope::layer) && ...);
/// True unless heads should have budgets of their own and keep the same tokens.
template <class... Policies>
inline constexpr bool heads_may_differ =
    !((allocates_heads<Policies> || ...) &&
      ((decision_scope_of<Policies> == decision_scope::layer) || ...));

/// True for what keep<> takes.
template <class... Policies>
constexpr bool is_sound() {
  if constexpr (sizeof...(Policies) == 0) return false;
  if constexpr (!legal_policies<Policies...>) return false;
  if constexpr (!(fits<Policies> && ...)) return false;
  return choose_by_layer<Policies...> && heads_may_differ<Policies...>;
}

}  // namespace detail

/// A selects up to its budget, then B from what is left, and so on. What nobody selects is dropped,
/// or goes to the list's last policy if that is an evict handler. sinks + window is StreamingLLM
/// (arXiv 2309.17453).
template <class... Policies>
struct keep {
  static_assert(sizeof...(Policies) > 0, "weir: keep<> keeps nothing; name at least one policy");
  static_assert(sizeof...(Policies) == 0 || detail::legal_policies<Policies...>,
                "weir: a policy of keep<> needs a `budget` and exactly one of `end`, `score(const "
                "slots_view&, slot)`, `score_all(const slots_view&, std::span<float>)` and "
                "`select(selection&)`; the last may be an evict handler; see "
                "weir/cache/eviction/concept.hpp");
  static_assert((detail::observe_fits<Policies> && ...),
                "weir: a policy of keep<> has an `observe` that would never be called: it is `void "
                "observe(const weir::observed_row&) const`");
  static_assert(
      (detail::on_append_fits<Policies> && ...),
      "weir: a policy of keep<> has an `on_append` that would never be called: it is `void "
      "on_append(const weir::slots_view&, weir::slot, const weir::token_info&) const`");
  static_assert((detail::sizes_fit<Policies> && ...),
                "weir: a policy of keep<> asks for `notes`, `state` or `scratch` and would not be "
                "heard: they are `std::size_t notes(const weir::kv_shape&) const` and so on");
  static_assert((detail::budgets_fit<Policies> && ...),
                "weir: a policy of keep<> has a `budget_for`, `allocate`, `allocate_layers`, "
                "`layer_statistic` or `max_layer_budget` that would never be called: see "
                "weir/cache/eviction/concept.hpp");
  static_assert(
      (detail::others_fit<Policies> && ...),
      "weir: a policy of keep<> has a `last_rows`, `choose` or `validate` that would never "
      "be called: see weir/cache/eviction/concept.hpp");
  static_assert((detail::hears<Policies> && ...),
                "weir: a policy of keep<> `needs` to be told of rows, and has no `observe(const "
                "weir::observed_row&) const` to be told by");
  static_assert(
      detail::choose_by_layer<Policies...>,
      "weir: a policy of keep<> that has `choose` goes by the scores of all heads: it needs "
      "`static constexpr decision_scope scope = decision_scope::layer`");
  static_assert(
      detail::heads_may_differ<Policies...>,
      "weir: a policy of keep<> shares a layer's entries out among its heads "
      "(`allocate`), and by another all of them keep the same tokens (decision_scope::layer)");

  std::tuple<Policies...> policies;

  keep() = default;
  keep(Policies... m) : policies(std::move(m)...) {}  // NOLINT(google-explicit-constructor)

  /// True if every policy looks only at positions: eviction is then a mask.
  static constexpr bool is_positional = (positional_policy<Policies> && ...);

  template <class Use>
  decltype(auto) with_list(std::size_t, Use use) const {
    return use(*this);
  }
  /// Calls `use(policy)` for each policy, in order.
  template <class Use>
  void for_each(Use use) const {
    std::apply([&](const auto&... m) { (use(m), ...); }, policies);
  }

  /// Sum of `amount(policy)` over the policies that have a budget.
  template <class Amount>
  std::size_t sum(Amount amount) const {
    std::size_t total = 0;
    for_each([&](const auto& m) {
      if constexpr (has_budget<std::remove_cvref_t<decltype(m)>>)
        total = checked_sum(total, amount(m));
    });
    return total;
  }
  /// Entries left after a boundary, at most, where budgets are equal.
  std::size_t budget() const {
    return sum([](const auto& m) { return m.budget; });
  }
  /// Entries that the positional policies select at one end of the stream.
  std::size_t budget(anchor end) const {
    return sum([end](const auto& m) -> std::size_t {
      if constexpr (positional_policy<std::remove_cvref_t<decltype(m)>>)
        return m.end == end ? m.budget : 0;
      return 0;
    });
  }

 private:
  static std::size_t checked_sum(std::size_t a, std::size_t b) {
    constexpr std::size_t limit = std::size_t{1} << 31;
    error::require<error::bad_config>(a <= limit && b <= limit - a, "keep: budgets of ", a, " and ",
                                      b, " entries (expected at most 2^31 in all)");
    return a + b;
  }
};

/// What a cache understands: keep_all and lists of policies.
template <class K>
inline constexpr bool is_keep = false;
template <>
inline constexpr bool is_keep<keep_all> = true;
template <class... Policies>
inline constexpr bool is_keep<keep<Policies...>> = true;

/// True for lists of which every policy is one: says so without an error.
template <class K>
inline constexpr bool legal_keep = is_keep<K>;
template <class... Policies>
inline constexpr bool legal_keep<keep<Policies...>> = detail::is_sound<Policies...>();

/// True for lists that look only at positions.
template <class K>
inline constexpr bool is_positional_keep = false;
template <>
inline constexpr bool is_positional_keep<keep_all> = true;
template <class... Policies>
inline constexpr bool is_positional_keep<keep<Policies...>> = keep<Policies...>::is_positional;

// ---- what a list needs, for all of its policies ------------------------------------------------

/// What a list must be told.
template <class K>
inline constexpr signals keep_needs = signals::nothing;
template <class... Policies>
inline constexpr signals keep_needs<keep<Policies...>> =
    (signals::nothing | ... | signals_of<Policies>);

/// True if all heads of a layer decide together.
template <class K>
inline constexpr bool keep_decides_by_layer = false;
template <class... Policies>
inline constexpr bool keep_decides_by_layer<keep<Policies...>> =
    ((decision_scope_of<Policies> == decision_scope::layer) || ...);

/// True if the heads of a layer cannot but decide alike, so that one of them does it for all.
template <class K>
inline constexpr bool keep_decides_once = false;
template <class... Policies>
inline constexpr bool keep_decides_once<keep<Policies...>> =
    ((positional_policy<Policies> || decision_scope_of<Policies> == decision_scope::one_for_all) &&
     ...);

/// True if a policy observes rows.
template <class K>
inline constexpr bool keep_observes = false;
template <class... Policies>
inline constexpr bool keep_observes<keep<Policies...>> = (observing<Policies> || ...);

/// True if a policy is introduced to each entry.
template <class K>
inline constexpr bool keep_has_on_append = false;
template <class... Policies>
inline constexpr bool keep_has_on_append<keep<Policies...>> = (has_on_append<Policies> || ...);

/// True if budgets change while the stream runs; of a layer's heads, or of the layers.
template <class K>
inline constexpr bool keep_allocates_heads = false;
template <class... Policies>
inline constexpr bool keep_allocates_heads<keep<Policies...>> = (allocates_heads<Policies> || ...);
template <class K>
inline constexpr bool keep_allocates_layers = false;
template <class... Policies>
inline constexpr bool keep_allocates_layers<keep<Policies...>> =
    (allocates_layers<Policies> || ...);
template <class K>
inline constexpr bool keep_has_changing_budgets =
    keep_allocates_heads<K> || keep_allocates_layers<K>;

/// True if the list's last policy is an evict handler.
template <class K>
inline constexpr bool keep_has_evict_handler = false;
template <class... Policies>
inline constexpr bool keep_has_evict_handler<keep<Policies...>> = (evict_handler<Policies> || ...);

/// True if a policy reads keys as rotated at their stream index.
template <class K>
inline constexpr bool keep_needs_original_positions = false;
template <class... Policies>
inline constexpr bool keep_needs_original_positions<keep<Policies...>> =
    (wants_original_positions<Policies> || ...);

/// True if the forward pass may not run over a boundary: what is decided there needs all of it.
template <class K>
inline constexpr bool keep_cuts_forward =
    includes(keep_needs<K>, signals::log_probability) || keep_allocates_layers<K>;

/// Entries that a list leaves in one (layer, KV head), while budgets do not change.
inline std::size_t budget_in(const keep_all& k, const kv_shape&, std::size_t, std::size_t) {
  return k.checked_capacity();
}
template <class... Policies>
std::size_t budget_in(const keep<Policies...>& k, const kv_shape& shape, std::size_t layer,
                      std::size_t kv_head) {
  return k.sum([&](const auto& m) { return budget_of(m, shape, layer, kv_head); });
}

}  // namespace weir::inline WEIR_TARGET
