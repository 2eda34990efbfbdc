// Policies that go by position alone.
#include "fuzz/cache_types.hpp"

namespace weir_fuzz {

namespace {

using namespace weir;

struct everything {
  static keep_all of(std::size_t, const kv_shape&, std::size_t) { return {512}; }
};
struct recent {
  static keep<window> of(std::size_t n, const kv_shape&, std::size_t) { return {window{n}}; }
};

}  // namespace

std::vector<cache_type> positional_types() {
  return {
      type_of<f32, everything, positions::original, layouts::paged>("f32 keep_all paged"),
      type_of<f16, preset<presets::recipes::streaming_llm>, positions::within_cache,
              layouts::contiguous>("f16 streaming-llm within-cache"),
      type_of<int4, recent, positions::original, layouts::paged>("int4 window paged"),
      type_of<bf16, preset<presets::recipes::duo_attention>, positions::original,
              layouts::contiguous>("bf16 duo-attention"),
  };
}

}  // namespace weir_fuzz
