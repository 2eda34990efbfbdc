// Run-time settings of a cache, whatever its policies.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/cache/step_rows.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

struct cache_options {
  std::size_t max_rows = 256;       ///< most rows of one step
  std::size_t max_draft_rows = 0;   ///< most provisional rows of one step, at most 64
  std::size_t max_draft_width = 1;  ///< most provisional rows at the same depth
  bool may_take_back = true;      ///< whether take_back will be called; costs policies that observe
  std::size_t cadence = 32;       ///< tokens between boundaries, for policies that decide there
  std::size_t extra_pages = 0;    ///< of layouts::paged: tiles in the pool for forks
  std::uint64_t first_index = 0;  ///< stream index of the first token; a multiple of 512
  executor* threads = nullptr;    ///< who works; must outlive the cache. Null: the caller alone
};

/// Throws error::bad_config unless the numbers are in range.
inline void validate(const cache_options& o) {
  using error::bad_config, error::require;
  require<bad_config>(o.max_rows > 0 && o.max_rows <= 1u << 20,
                      "cache_options.max_rows: ", o.max_rows, " (expected 1 to 2^20)");
  require<bad_config>(o.max_draft_rows <= max_draft_rows,
                      "cache_options.max_draft_rows: ", o.max_draft_rows, " (expected at most ",
                      max_draft_rows, ")");
  require<bad_config>(o.max_draft_width > 0 && o.max_draft_width <= max_draft_rows,
                      "cache_options.max_draft_width: ", o.max_draft_width, " (expected 1 to ",
                      max_draft_rows, ")");
  require<bad_config>(o.cadence > 0 && o.cadence <= 1u << 20, "cache_options.cadence: ", o.cadence,
                      " (expected 1 to 2^20)");
  require<bad_config>(o.extra_pages <= std::size_t{1} << 30,
                      "cache_options.extra_pages: ", o.extra_pages, " (expected at most 2^30)");
  require<bad_config>(o.first_index % split_lanes == 0 && o.first_index < std::uint64_t{1} << 63,
                      "cache_options.first_index: ", o.first_index,
                      " (expected a multiple of 512 below 2^63)");
}

}  // namespace weir::inline WEIR_TARGET
