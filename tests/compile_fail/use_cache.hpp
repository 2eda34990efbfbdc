// Everything that a user says to a cache, so that a refused one must bear it all in silence.
// Included after `cache_type` and `keep_type`, and not a template: a user's code need not be one.

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
  cache_type cache(weir::kv_shape{}, keep_type{});
  (void)cache_type::required_bytes(weir::kv_shape{}, {});
  use(cache);
}
