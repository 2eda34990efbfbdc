// All that a cache under a forward pass of your own needs: no models, samplers or streams. Other
// policies lie one a header in weir/cache/eviction/.
#pragma once

#include <weir/core/target.hpp>

#if !defined(WEIR_REFUSED)

#include <weir/cache/eviction/heavy_hitters.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/cache/position/positions.hpp>
#include <weir/version.hpp>

#endif
