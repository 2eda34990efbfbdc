#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

struct works {
  std::size_t budget = 1;
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};
struct mute {
  std::size_t budget = 1;
};

#ifdef WEIR_FAIL
using choice = mute;
#else
using choice = works;
#endif
using cache_type = weir::kv_cache<weir::f16, weir::keep<weir::window, choice>>;
using keep_type = weir::keep<weir::window, choice>;

#include "use_cache.hpp"
