// Run-time settings of a stream, whatever its policies.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/model/load_model.hpp>
#include <weir/speculation/draft_tree.hpp>

namespace weir::inline WEIR_TARGET {

struct stream_options {
  std::size_t chunk = 256;                 ///< most tokens that go through the model at once
  unsigned threads = 0;                    ///< 0: available_threads(); ignored with `workers`
  executor* workers = nullptr;             ///< threads of the user's own; must outlive the stream
  std::size_t cadence = 32;                ///< see cache_options
  std::uint64_t first_index = 0;           ///< see cache_options
  overflow on_overflow = overflow::scale;  ///< see cache_options; the model says its ranges

  /// Most rows of one stream in a pass: a chunk, and drafts within `drafts`. Throws
  /// error::bad_config beyond what a step of a cache may have.
  std::size_t pass_rows(const draft_limits& drafts) const {
    using error::bad_config, error::require;
    require<bad_config>(drafts.rows() <= max_draft_rows && drafts.depth <= max_draft_rows,
                        "drafter: ", drafts.rows(), " provisional rows, ", drafts.depth,
                        " deep (expected at most ", max_draft_rows, ")");
    const std::size_t most = max_step_rows - drafts.rows();
    require<bad_config>(chunk > 0 && chunk <= most, "stream_options.chunk: ", chunk,
                        " (expected 1 to ", most, ")");
    return chunk + drafts.rows();
  }

  /// What a cache for `model` is made with, of a stream that drafts within `drafts`. Throws as
  /// pass_rows does.
  cache_options for_cache(const llama_model& model, const draft_limits& drafts,
                          executor* used) const {
    return {.max_rows = pass_rows(drafts),
            .max_draft_rows = drafts.rows(),
            .max_draft_width = drafts.row_width(),
            .may_take_back = false,
            .cadence = cadence,
            .first_index = first_index,
            .threads = used,
            .on_overflow = on_overflow,
            .ranges = model.kv_ranges};
  }
};

namespace detail {
template <class Cache>
struct cache_keep;
template <class Codec, class Keep, class Positions, class Layout, class Arch>
struct cache_keep<kv_cache<Codec, Keep, Positions, Layout, Arch>> {
  using type = Keep;
};
}  // namespace detail

/// The policy list that a cache type was made with.
template <class Cache>
using keep_of = typename detail::cache_keep<Cache>::type;

}  // namespace weir::inline WEIR_TARGET
