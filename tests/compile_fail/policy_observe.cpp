#include <weir/cache/kv_cache.hpp>

struct policy {
  std::size_t budget;
#ifdef WEIR_FAIL
  void observe(const weir::observed_row&) {}
#else
  void observe(const weir::observed_row&) const {}
#endif
  float score(const weir::slots_view& view, weir::slot s) const { return view.key_norm(s); }
};
using keep_type = weir::keep<policy>;
using cache_type = weir::kv_cache<weir::f16, keep_type>;

#include "use_cache.hpp"
