// Which policies can work together, and the one sentence for those that cannot.
#pragma once

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/layout/concept.hpp>
#include <weir/cache/position/positions.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Policies that can work together.
template <class Codec, class Keep, class Positions, class Layout>
concept legal_cache =
    kv_codec<Codec> && legal_keep<Keep> && position_policy<Positions> && layout_policy<Layout> &&
    !(keep_needs_original_positions<Keep> && Positions::renumbers) &&
    !(keep_has_changing_budgets<Keep> && !Layout::pages_taken);

namespace detail {

template <class P>
inline constexpr bool renumbers = false;
template <position_policy P>
inline constexpr bool renumbers<P> = P::renumbers;
template <class L>
inline constexpr bool takes_pages = true;
template <layout_policy L>
inline constexpr bool takes_pages<L> = L::pages_taken;

/// Says what is wrong, in a class of its own: one that fails an assertion is of no further use, and
/// its users would be told so line by line.
template <class Codec, class Keep, class Positions, class Layout>
struct refusal {
  static_assert(kv_codec<Codec>,
                "weir: the first parameter of kv_cache is a codec: f32, f16, bf16, int8 or "
                "int4");
  static_assert(is_keep<Keep>,
                "weir: the second parameter of kv_cache says what stays: keep_all, keep<...> or "
                "per_head<A, B>");
  static_assert(sizeof(Keep) > 0);  // has keep<...> say what is wrong with its policies
  static_assert(position_policy<Positions>,
                "weir: the third parameter of kv_cache is positions::original or "
                "positions::within_cache");
  static_assert(layout_policy<Layout>,
                "weir: the fourth parameter of kv_cache is layouts::contiguous or layouts::paged");
  static_assert(!keep_needs_original_positions<Keep> || !renumbers<Positions>,
                "weir: a policy of keep<> reads keys as they were rotated at their stream index: "
                "use positions::original");
  static_assert(!keep_has_changing_budgets<Keep> || takes_pages<Layout>,
                "weir: a policy of keep<> changes budgets while the stream runs: use "
                "layouts::paged");
};

}  // namespace detail

}  // namespace weir::inline WEIR_TARGET
