// What a user's first file looks like, built in each of the ways there are to use weir.
#include <cmath>
#include <cstdio>
#include <vector>

#include <weir/weir.hpp>

int main() {
  using cache_type = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                                    weir::positions::within_cache>;
  const weir::kv_shape shape{
      .layers = 1, .q_heads = 2, .kv_heads = 1, .head_dim = 16, .rope = {.dims = 16}};
  cache_type cache(shape, {weir::sinks{4}, weir::window{28}});
  const std::vector<float> q(32, 0.5f), k(16, 0.5f), v(16, 0.25f);
  std::vector<float> out(32);
  for (int token = 0; token < 100; ++token) {
    const weir::row row;
    auto step = cache.begin({&row, 1});
    step.attend(0, q, k, v, out);
    step.commit();
  }
  std::printf("weir %d.%d.%d: %llu tokens in %zu bytes; attention gives %g\n", WEIR_VERSION_MAJOR,
              WEIR_VERSION_MINOR, WEIR_VERSION_PATCH,
              static_cast<unsigned long long>(cache.length()), cache.bytes(),
              static_cast<double>(out[0]));
  return std::abs(out[0] - 0.25f) < 1e-6f ? 0 : 1;
}
