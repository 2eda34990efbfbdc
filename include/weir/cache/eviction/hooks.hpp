// What a policy may have is found by name and signature: what only nearly fits would never be
// called, and so is refused. Overloads and templates are taken on trust.
#pragma once

#include <concepts>
#include <cstddef>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::detail {

// clang-format off
template <class P> concept names_observe = requires { &P::observe; };
template <class P> concept names_on_append = requires { &P::on_append; };
template <class P> concept names_notes = requires { &P::notes; };
template <class P> concept names_state = requires { &P::state; };
template <class P> concept names_scratch = requires { &P::scratch; };
template <class P> concept names_budget_for = requires { &P::budget_for; };
template <class P> concept names_allocate = requires { &P::allocate; };
template <class P> concept names_layer_statistic = requires { &P::layer_statistic; };
template <class P> concept names_allocate_layers = requires { &P::allocate_layers; };
template <class P> concept names_max_layer_budget = requires { &P::max_layer_budget; };
template <class P> concept names_last_rows = requires { &P::last_rows; };
template <class P> concept names_choose = requires { &P::choose; };
template <class P> concept names_validate = requires { &P::validate; };
// clang-format on

/// What is told of rows.
inline constexpr signals of_rows = signals::attention_probabilities |
                                   signals::largest_probabilities | signals::attention_logits |
                                   signals::queries;

// Each is true unless a policy has the name and not the signature.

template <class P>
inline constexpr bool observe_fits = observing<P> || !names_observe<P>;
template <class P>
inline constexpr bool on_append_fits = has_on_append<P> || !names_on_append<P>;
template <class P>
inline constexpr bool sizes_fit = (gives_notes<P> || !names_notes<P>)&&(
    gives_state<P> || !names_state<P>)&&(gives_scratch<P> || !names_scratch<P>);
template <class P>
inline constexpr bool budgets_fit =
    (gives_budgets<P> || !names_budget_for<P>)&&(allocates_heads<P> || !names_allocate<P>)&&(
        allocates_layers<P> || !(names_layer_statistic<P> || names_allocate_layers<P>)) &&
    (bounds_layers<P> || !names_max_layer_budget<P>);
template <class P>
inline constexpr bool others_fit = (gives_last_rows<P> || !names_last_rows<P>)&&(
    chooses<P> || !names_choose<P>)&&(validated<P> || !names_validate<P>);
/// True unless it is to be told of rows and cannot hear.
template <class P>
inline constexpr bool hears = observing<P> || without(signals_of<P>, of_rows) == signals_of<P>;

template <class P>
inline constexpr bool fits = observe_fits<P> && on_append_fits<P> && sizes_fit<P> &&
                             budgets_fit<P> && others_fit<P> && hears<P>;

}  // namespace weir::inline WEIR_TARGET::detail
