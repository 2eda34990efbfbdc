#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = weir::window;
#else
using choice = weir::keep<weir::window>;
#endif
using cache_type = weir::kv_cache<weir::f16, choice>;
using keep_type = choice;

#include "use_cache.hpp"
