#include <weir/cache/eviction/adaptive_heads.hpp>
#include <weir/cache/eviction/key_norm.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = weir::layouts::contiguous;
#else
using choice = weir::layouts::paged;
#endif
using keep_type = weir::keep<weir::window, weir::adaptive_heads<weir::key_norm>>;
using cache_type = weir::kv_cache<weir::f16, keep_type, weir::positions::original, choice>;

#include "use_cache.hpp"
