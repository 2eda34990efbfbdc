#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/per_head.hpp>
#include <weir/cache/eviction/tova.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = weir::tova;
#else
using choice = weir::heavy_hitters;
#endif
using keep_type = weir::per_head<weir::keep_all, weir::keep<weir::window, choice>>;
using cache_type = weir::kv_cache<weir::f16, keep_type>;

#include "use_cache.hpp"
