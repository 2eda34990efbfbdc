#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

struct works {
  std::size_t budget = 1;
  void select(weir::selection&) const {}
};
struct wavers : works {
  float score(const weir::slots_view&, weir::slot) const { return 0; }
};

#ifdef WEIR_FAIL
using choice = wavers;
#else
using choice = works;
#endif
using cache_type = weir::kv_cache<weir::f16, weir::keep<weir::window, choice>>;
using keep_type = weir::keep<weir::window, choice>;

#include "use_cache.hpp"
