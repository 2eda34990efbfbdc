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

/// Members, of which the last may be a fate.
template <class... Members>
inline constexpr bool legal_members = false;
template <class Last>
inline constexpr bool legal_members<Last> = eviction_member<Last>;
template <class First, class Second, class... Rest>
inline constexpr bool legal_members<First, Second, Rest...> =
    eviction_member<First> &&
    ((sizeof...(Rest) == 0 && eviction_fate<Second>) || legal_members<Second, Rest...>);

/// True if whoever chooses by the scores of all heads has them at hand.
template <class... Members>
inline constexpr bool choose_by_layer =
    ((!chooses<Members> || deciding_unit<Members> == deciding::layer) && ...);
/// True unless heads should have budgets of their own and keep the same tokens.
template <class... Members>
inline constexpr bool heads_may_differ =
    !((apportions_heads<Members> || ...) && ((deciding_unit<Members> == deciding::layer) || ...));

/// True for what keep<> takes.
template <class... Members>
constexpr bool is_sound() {
  if constexpr (sizeof...(Members) == 0) return false;
  if constexpr (!legal_members<Members...>) return false;
  if constexpr (!(fits<Members> && ...)) return false;
  return choose_by_layer<Members...> && heads_may_differ<Members...>;
}

}  // namespace detail

/// A claims up to its budget, then B from what is left, and so on. What nobody claims is dropped,
/// or meets the list's last member if that is a fate. sinks + window is StreamingLLM (arXiv
/// 2309.17453).
template <class... Members>
struct keep {
  static_assert(sizeof...(Members) > 0, "weir: keep<> keeps nothing; name at least one member");
  static_assert(sizeof...(Members) == 0 || detail::legal_members<Members...>,
                "weir: a member of keep<> needs a `budget` and exactly one of `end`, `score(const "
                "slots_view&, slot)`, `score_all(const slots_view&, std::span<float>)` and "
                "`claim(claims&)`; the last may be a fate; see weir/cache/eviction/concept.hpp");
  static_assert((detail::observe_fits<Members> && ...),
                "weir: a member of keep<> has an `observe` that would never be called: it is `void "
                "observe(const weir::observed_row&) const`");
  static_assert((detail::describe_fits<Members> && ...),
                "weir: a member of keep<> has a `describe` that would never be called: it is `void "
                "describe(const weir::slots_view&, weir::slot, const weir::arrival&) const`");
  static_assert((detail::sizes_fit<Members> && ...),
                "weir: a member of keep<> asks for `notes`, `state` or `scratch` and would not be "
                "heard: they are `std::size_t notes(const weir::kv_shape&) const` and so on");
  static_assert((detail::budgets_fit<Members> && ...),
                "weir: a member of keep<> has a `budget_for`, `apportion`, `apportion_layers`, "
                "`report` or `most_of_layer` that would never be called: see "
                "weir/cache/eviction/concept.hpp");
  static_assert(
      (detail::others_fit<Members> && ...),
      "weir: a member of keep<> has a `last_rows`, `choose` or `validate` that would never "
      "be called: see weir/cache/eviction/concept.hpp");
  static_assert((detail::hears<Members> && ...),
                "weir: a member of keep<> `needs` to be told of rows, and has no `observe(const "
                "weir::observed_row&) const` to be told by");
  static_assert(
      detail::choose_by_layer<Members...>,
      "weir: a member of keep<> that has `choose` goes by the scores of all heads: it needs "
      "`static constexpr deciding unit = deciding::layer`");
  static_assert(detail::heads_may_differ<Members...>,
                "weir: a member of keep<> shares a layer's entries out among its heads "
                "(`apportion`), and by another all of them keep the same tokens (deciding::layer)");

  std::tuple<Members...> members;

  keep() = default;
  keep(Members... m) : members(std::move(m)...) {}  // NOLINT(google-explicit-constructor)

  /// True if every member looks only at positions: eviction is then a mask.
  static constexpr bool is_positional = (positional_claim<Members> && ...);

  template <class Use>
  decltype(auto) with_list(std::size_t, Use use) const {
    return use(*this);
  }
  /// Calls `use(member)` for each member, in order.
  template <class Use>
  void for_each(Use use) const {
    std::apply([&](const auto&... m) { (use(m), ...); }, members);
  }

  /// Sum of `amount(member)` over the members that have a budget.
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
  /// Entries that the positional members claim at one end of the stream.
  std::size_t budget(claimed_end end) const {
    return sum([end](const auto& m) -> std::size_t {
      if constexpr (positional_claim<std::remove_cvref_t<decltype(m)>>)
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

/// Policies a cache understands.
template <class K>
inline constexpr bool is_keep = false;
template <>
inline constexpr bool is_keep<keep_all> = true;
template <class... Members>
inline constexpr bool is_keep<keep<Members...>> = true;

/// Policies whose members all are ones: says so without an error.
template <class K>
inline constexpr bool legal_keep = is_keep<K>;
template <class... Members>
inline constexpr bool legal_keep<keep<Members...>> = detail::is_sound<Members...>();

/// True for policies that look only at positions.
template <class K>
inline constexpr bool is_positional_keep = false;
template <>
inline constexpr bool is_positional_keep<keep_all> = true;
template <class... Members>
inline constexpr bool is_positional_keep<keep<Members...>> = keep<Members...>::is_positional;

// ---- what a list needs, for all of its members ------------------------------------------------

/// What a list must be told.
template <class K>
inline constexpr told keep_needs = told::nothing;
template <class... Members>
inline constexpr told keep_needs<keep<Members...>> = (told::nothing | ... | told_to<Members>);

/// True if all heads of a layer decide together.
template <class K>
inline constexpr bool keep_decides_by_layer = false;
template <class... Members>
inline constexpr bool keep_decides_by_layer<keep<Members...>> =
    ((deciding_unit<Members> == deciding::layer) || ...);

/// True if the heads of a layer cannot but decide alike, so that one of them does it for all.
template <class K>
inline constexpr bool keep_decides_once = false;
template <class... Members>
inline constexpr bool keep_decides_once<keep<Members...>> =
    ((positional_claim<Members> || deciding_unit<Members> == deciding::one_for_all) && ...);

/// True if a member observes rows.
template <class K>
inline constexpr bool keep_observes = false;
template <class... Members>
inline constexpr bool keep_observes<keep<Members...>> = (observing<Members> || ...);

/// True if a member is introduced to each entry.
template <class K>
inline constexpr bool keep_describes = false;
template <class... Members>
inline constexpr bool keep_describes<keep<Members...>> = (describing<Members> || ...);

/// True if budgets change while the stream runs; of a layer's heads, or of the layers.
template <class K>
inline constexpr bool keep_apportions_heads = false;
template <class... Members>
inline constexpr bool keep_apportions_heads<keep<Members...>> = (apportions_heads<Members> || ...);
template <class K>
inline constexpr bool keep_apportions_layers = false;
template <class... Members>
inline constexpr bool keep_apportions_layers<keep<Members...>> =
    (apportions_layers<Members> || ...);
template <class K>
inline constexpr bool keep_has_changing_budgets =
    keep_apportions_heads<K> || keep_apportions_layers<K>;

/// True if the list's last member is a fate.
template <class K>
inline constexpr bool keep_has_fate = false;
template <class... Members>
inline constexpr bool keep_has_fate<keep<Members...>> = (eviction_fate<Members> || ...);

/// True if a member reads keys as rotated at their stream index.
template <class K>
inline constexpr bool keep_needs_original_positions = false;
template <class... Members>
inline constexpr bool keep_needs_original_positions<keep<Members...>> =
    (wants_original_positions<Members> || ...);

/// True if the forward pass may not run over a boundary: what is decided there needs all of it.
template <class K>
inline constexpr bool keep_cuts_forward =
    includes(keep_needs<K>, told::log_probability) || keep_apportions_layers<K>;

/// Entries that a list leaves in one (layer, KV head), while budgets do not change.
inline std::size_t budget_in(const keep_all& k, const kv_shape&, std::size_t, std::size_t) {
  return k.checked_capacity();
}
template <class... Members>
std::size_t budget_in(const keep<Members...>& k, const kv_shape& shape, std::size_t layer,
                      std::size_t kv_head) {
  return k.sum([&](const auto& m) { return budget_of(m, shape, layer, kv_head); });
}

}  // namespace weir::inline WEIR_TARGET
