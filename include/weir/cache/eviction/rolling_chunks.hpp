// Rolling chunks: the last few chunks of the stream that nobody selected before, whole. A chunk is
// what a video model denoises as one: some latent frames' tokens.
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

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct rolling_chunks {
  std::size_t chunk = 1;   ///< tokens
  std::size_t chunks = 1;  ///< that stay
  std::size_t budget = chunk * chunks;
  static constexpr decision_scope scope = decision_scope::one_for_all;

  void validate(const kv_shape&) const {
    error::require<error::bad_config>(chunk > 0, "rolling_chunks.chunk: 0 (expected at least 1)");
  }
  void select(selection& open) const {
    const slots_view& view = open.view();
    std::size_t begun = 0;
    for (std::uint64_t i = open.size(), last = 0; i-- > 0;) {
      if (open.is_taken(i)) continue;
      const std::uint64_t number =
          (view.index(view.at(i)).value - view.first_index().value) / chunk;
      if (begun == 0 || number != last) {
        if (begun++ == chunks) return;
        last = number;
      }
      open.take(i);
    }
  }
};

static_assert(eviction_policy<rolling_chunks>);

}  // namespace weir::inline WEIR_TARGET
