// What a member may have is found by name and signature: what only nearly fits would never be
// called, and so is refused. Overloads and templates are taken on trust.
#pragma once

#include <concepts>
#include <cstddef>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

// clang-format off
template <class M> concept names_observe = requires { &M::observe; };
template <class M> concept names_describe = requires { &M::describe; };
template <class M> concept names_notes = requires { &M::notes; };
template <class M> concept names_state = requires { &M::state; };
template <class M> concept names_scratch = requires { &M::scratch; };
template <class M> concept names_budget_for = requires { &M::budget_for; };
template <class M> concept names_apportion = requires { &M::apportion; };
template <class M> concept names_report = requires { &M::report; };
template <class M> concept names_apportion_layers = requires { &M::apportion_layers; };
template <class M> concept names_most_of_layer = requires { &M::most_of_layer; };
template <class M> concept names_last_rows = requires { &M::last_rows; };
template <class M> concept names_choose = requires { &M::choose; };
template <class M> concept names_validate = requires { &M::validate; };
// clang-format on

/// What is told of rows.
inline constexpr told of_rows =
    told::probabilities | told::largest_probabilities | told::logits | told::queries;

// Each is true unless a member has the name and not the signature.

template <class M>
inline constexpr bool observe_fits = observing<M> || !names_observe<M>;
template <class M>
inline constexpr bool describe_fits = describing<M> || !names_describe<M>;
template <class M>
inline constexpr bool sizes_fit = (gives_notes<M> || !names_notes<M>)&&(
    gives_state<M> || !names_state<M>)&&(gives_scratch<M> || !names_scratch<M>);
template <class M>
inline constexpr bool budgets_fit =
    (gives_budgets<M> || !names_budget_for<M>)&&(apportions_heads<M> || !names_apportion<M>)&&(
        apportions_layers<M> || !(names_report<M> || names_apportion_layers<M>)) &&
    (bounds_layers<M> || !names_most_of_layer<M>);
template <class M>
inline constexpr bool others_fit = (gives_last_rows<M> || !names_last_rows<M>)&&(
    chooses<M> || !names_choose<M>)&&(validated<M> || !names_validate<M>);
/// True unless it is to be told of rows and cannot hear.
template <class M>
inline constexpr bool hears = observing<M> || without(told_to<M>, of_rows) == told_to<M>;

template <class M>
inline constexpr bool fits = observe_fits<M> && describe_fits<M> && sizes_fit<M> &&
                             budgets_fit<M> && others_fit<M> && hears<M>;

}  // namespace weir::inline WEIR_TARGET::detail
