#include <weir/cache/eviction/adaptive_heads.hpp>
#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/tova.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using base = weir::tova;
#else
using base = weir::heavy_hitters;
#endif
using keep_type = weir::keep<weir::adaptive_heads<base>>;
using cache_type =
    weir::kv_cache<weir::f16, keep_type, weir::positions::original, weir::layouts::paged>;

#include "use_cache.hpp"
