// Run-time settings of a cache, whatever its policies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <weir/cache/step_rows.hpp>
#include <weir/cache/store/kv_scales.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>

namespace weir::inline WEIR_TARGET {

/// Most rows of one step.
inline constexpr std::size_t max_step_rows = std::size_t{1} << 20;

struct cache_options {
  std::size_t max_rows = 256;       ///< most rows of one step, at most `max_step_rows`
  std::size_t max_draft_rows = 0;   ///< most provisional rows of one step, at most 64
  std::size_t max_draft_width = 1;  ///< most provisional rows at the same depth
  bool may_take_back = true;      ///< whether take_back will be called; costs policies that observe
  std::size_t cadence = 32;       ///< tokens between boundaries, for policies that decide there
  std::size_t extra_pages = 0;    ///< of layouts::paged: tiles in the pool for forks
  std::uint64_t first_index = 0;  ///< stream index of the first token; a multiple of 512
  executor* threads = nullptr;    ///< who works; must outlive the cache. Null: the caller alone
  overflow on_overflow = overflow::scale;  ///< about numbers that the codec does not hold
  std::vector<kv_range> ranges = {};       ///< [layer, kv_head], of overflow::scale; empty: unknown
};

/// Throws error::bad_config unless the numbers are in range.
void validate(const cache_options& o);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/cache/cache_options.inl.hpp>
#endif
