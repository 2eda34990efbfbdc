// Bodies of cache/cache_options.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/cache/cache_options.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/visits.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE void validate(const cache_options& o) {
  using error::bad_config, error::require;
  require<bad_config>(o.max_rows > 0 && o.max_rows <= max_step_rows,
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
