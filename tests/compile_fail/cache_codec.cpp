#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = int;
#else
using choice = weir::f16;
#endif
using cache_type = weir::kv_cache<choice, weir::keep<weir::window>>;
using keep_type = weir::keep<weir::window>;

#include "use_cache.hpp"
