// Which policies can work together, and the one sentence for those that cannot.
#pragma once

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/position/positions.hpp>

namespace weir {

/// Policies that can work together.
template <class Codec, class Keep, class Positions>
concept legal_cache = kv_codec<Codec> && legal_keep<Keep> && position_policy<Positions>;

namespace detail {

/// Says what is wrong, in a class of its own: one that fails an assertion is of no further use, and
/// its users would be told so line by line.
template <class Codec, class Keep, class Positions>
struct refusal {
  static_assert(kv_codec<Codec>,
                "weir: the first parameter of kv_cache is a codec: f32, f16, bf16, int8 or "
                "int4");
  static_assert(is_keep<Keep>,
                "weir: the second parameter of kv_cache says what stays: keep_all or keep<...>");
  static_assert(sizeof(Keep) > 0);  // has keep<...> say what is wrong with its members
  static_assert(position_policy<Positions>,
                "weir: the third parameter of kv_cache is positions::original or "
                "positions::within_cache");
};

}  // namespace detail

}  // namespace weir
