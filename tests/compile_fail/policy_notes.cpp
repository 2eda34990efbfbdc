#include <weir/cache/kv_cache.hpp>

struct policy {
  std::size_t budget;
#ifdef WEIR_FAIL
  std::size_t notes() const { return 1; }
#else
  std::size_t notes(const weir::kv_shape&) const { return 1; }
#endif
  float score(const weir::slots_view& view, weir::slot s) const { return view.key_norm(s); }
};
using keep_type = weir::keep<policy>;
using cache_type = weir::kv_cache<weir::f16, keep_type>;

#include "use_cache.hpp"
