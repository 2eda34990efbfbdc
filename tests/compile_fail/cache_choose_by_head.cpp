#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/kv_cache.hpp>

struct chooser : weir::heavy_hitters {
#ifndef WEIR_FAIL
  static constexpr weir::decision_scope scope = weir::decision_scope::layer;
#endif
  void choose(const weir::head_scores&, weir::selection& open) const { open.take(0); }
};
using keep_type = weir::keep<chooser>;
using cache_type = weir::kv_cache<weir::f16, keep_type>;

#include "use_cache.hpp"
