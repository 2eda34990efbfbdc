#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>

#ifdef WEIR_FAIL
using choice = weir::window;
#else
using choice = weir::keep<weir::window>;
#endif
using cache_type = weir::kv_cache<weir::f16, choice>;

void use(cache_type& cache) {
  const weir::row rows[1] = {};
  auto step = cache.begin(rows);
  step.attend(0, {}, {}, {}, {});
  step.commit({0});
  cache.take_back();
  cache.reset();
  (void)cache.stats().appended;
  (void)cache.draft_room(cache.room() > 0 ? 1 : 0);
  cache.for_each_entry(0, 0, [](const auto& entry) { (void)entry.index.value; });
}
void make() {
  cache_type cache(weir::kv_shape{}, choice{});
  (void)cache_type::required_bytes(weir::kv_shape{}, {});
  use(cache);
}
