// What bench/compile_time.sh compiles: all of weir, and one decoder.
#include <string_view>

#include <weir/weir.hpp>

void stream(const weir::llama_model& model, std::string_view prompt,
            void (*show)(std::string_view)) {
  using cache = weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>,
                               weir::positions::within_cache>;
  weir::stream_decoder<cache> decoder{model, {weir::sinks{4}, weir::window{252}}};
  for (const std::string_view piece : decoder.generate(prompt, {.max_tokens = 100})) show(piece);
}
