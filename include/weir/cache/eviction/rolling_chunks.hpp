// Rolling chunks: the last few chunks of the stream, whole. A chunk is what a video model denoises
// as one: some latent frames' tokens.
//
// With the cadence a chunk's length, boundaries lie at chunk ends, and rows of a chunk read the
// kept ones and their own. Behind `sinks` of whole chunks this is what Rolling Forcing (arXiv
// 2509.25161) and MotionStream (arXiv 2511.01266) keep, which differ in sizes and positions: the
// first glues its sink in front of the window, the second numbers entries within the cache, so that
// positions::within_cache serves both. MotionStream's best is one chunk of each.
//
// The first paper's number is as far as we know; the second published no code.
//
// A chunk that is still coming counts as one, so that a shorter cadence never keeps half of an old
// one. Where the papers shift entries or overwrite them in a ring, they stay in their slots here.
#pragma once

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/sinks.hpp>

namespace weir {

struct rolling_chunks {
  std::size_t chunk = 1;   ///< tokens
  std::size_t chunks = 1;  ///< that stay
  std::size_t budget = chunk * chunks;
  static constexpr deciding unit = deciding::one_for_all;

  void claim(claims& open) const {
    const slots_view& view = open.view();
    const auto number = [&](std::uint64_t index) {
      return (index - view.first_index().value) / chunk;
    };
    const std::uint64_t newest = number(view.boundary().value - 1);
    for (std::size_t i = open.size(); i-- > 0;) {
      if (newest - number(view.index(view.at(i)).value) >= chunks) return;
      open.take(i);
    }
  }
};

static_assert(eviction_member<rolling_chunks>);

using rolling_forcing = keep<sinks, rolling_chunks>;
using motion_stream = keep<sinks, rolling_chunks>;

}  // namespace weir
