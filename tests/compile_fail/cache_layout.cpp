#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = int;
#else
using choice = weir::layouts::paged;
#endif
using keep_type = weir::keep<weir::window>;
using cache_type = weir::kv_cache<weir::f16, keep_type, weir::positions::original, choice>;

#include "use_cache.hpp"
