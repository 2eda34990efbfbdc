#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

struct by_angle {
  static constexpr bool needs_original_positions = true;
  std::size_t budget = 1;
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};

#ifdef WEIR_FAIL
using choice = weir::positions::within_cache;
#else
using choice = weir::positions::original;
#endif
using keep_type = weir::keep<weir::window, by_angle>;
using cache_type = weir::kv_cache<weir::f16, keep_type, choice>;

#include "use_cache.hpp"
