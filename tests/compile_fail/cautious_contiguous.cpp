// Trials on a cache that cannot be forked.
#include <weir/stream/cautious_decoder.hpp>

#ifdef WEIR_FAIL
using layout = weir::layouts::contiguous;
#else
using layout = weir::layouts::paged;
#endif
using cache = weir::kv_cache<weir::f16, weir::keep_all, weir::positions::original, layout>;

std::size_t use(const weir::llama_model& model) {
  weir::cautious_decoder<cache> decoder(model, weir::keep_all{100});
  const auto show = [](const weir::token_event&) { return true; };
  decoder.generate("a", show, {.max_tokens = 3});
  for (const std::string_view piece : decoder.resume({.max_tokens = 3})) (void)piece;
  decoder.reset();
  return decoder.bytes() - weir::cautious_decoder<cache>::required_bytes(model, {100}) +
         decoder.length() + decoder.cache().pages_held() + decoder.trials().size() +
         decoder.counters().trials;
}
