#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = int;
#else
using choice = weir::positions::within_cache;
#endif
using cache_type = weir::kv_cache<weir::f16, weir::keep<weir::window>, choice>;
using keep_type = weir::keep<weir::window>;

#include "use_cache.hpp"
