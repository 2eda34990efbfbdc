#include <weir/cache/kv_cache.hpp>

struct policy {
  std::size_t budget;
#ifdef WEIR_FAIL
  static constexpr weir::signals needs = weir::signals::attention_probabilities;
#else
  static constexpr weir::signals needs = weir::signals::new_keys;
#endif
  float score(const weir::slots_view& view, weir::slot s) const { return view.key_norm(s); }
};
using keep_type = weir::keep<policy>;
using cache_type = weir::kv_cache<weir::f16, keep_type>;

#include "use_cache.hpp"
