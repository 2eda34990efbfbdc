// What a member may have is found by name and signature, so that one which nearly fits would never
// be called: such members are refused.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include <weir/cache/eviction/concept.hpp>

namespace weir::detail {

// Each is true unless the member has the name and not the signature; overloads and templates are
// taken on trust.

template <class M>
inline constexpr bool observe_fits = observing<M> || !requires { &M::observe; };
template <class M>
inline constexpr bool describe_fits = describing<M> || !requires { &M::describe; };

/// notes, state, scratch.
template <class M>
inline constexpr bool sizes_fit = (
                                      requires(const M& m, const kv_shape& s) {
                                        { m.notes(s) } -> std::convertible_to<std::size_t>;
                                      } || !requires { &M::notes; }) &&
                                  (
                                      requires(const M& m, const kv_shape& s) {
                                        { m.state(s) } -> std::convertible_to<std::size_t>;
                                      } || !requires { &M::state; }) &&
                                  (
                                      requires(const M& m, const kv_shape& s) {
                                        { m.scratch(s) } -> std::convertible_to<std::size_t>;
                                      } || !requires { &M::scratch; });

/// What has to do with budgets.
template <class M>
inline constexpr bool budgets_fit =
    (
        requires(const M& m, const kv_shape& s) {
          { m.budget_for(s, s.layers, s.layers) } -> std::convertible_to<std::size_t>;
        } || !requires { &M::budget_for; }) &&
    (apportions_heads<M> || !requires { &M::apportion; }) &&
    (apportions_layers<M> || !(
                                 requires { &M::apportion_layers; } || requires { &M::report; })) &&
    (
        requires(const M& m, const kv_shape& s) {
          { m.most_of_layer(s) } -> std::convertible_to<std::size_t>;
        } || !requires { &M::most_of_layer; });

/// last_rows, choose, validate.
template <class M>
inline constexpr bool others_fit =
    (
        requires(const M& m) {
          { m.last_rows() } -> std::convertible_to<std::size_t>;
        } || !requires { &M::last_rows; }) &&
    (chooses<M> || !requires { &M::choose; }) &&
    (
        requires(const M& m, const kv_shape& s) { m.validate(s); } || !requires { &M::validate; });

/// True unless it is to be told of rows, which it cannot hear.
template <class M>
inline constexpr bool hears =
    observing<M> || (told_to<M> == told::nothing ||
                     !(includes(told_to<M>, told::probabilities) ||
                       includes(told_to<M>, told::largest_probabilities) ||
                       includes(told_to<M>, told::logits) || includes(told_to<M>, told::queries)));

template <class... Members>
inline constexpr bool hooks_fit =
    ((observe_fits<Members> && describe_fits<Members> && sizes_fit<Members> &&
      budgets_fit<Members> && others_fit<Members> && hears<Members>)&&...);

}  // namespace weir::detail
