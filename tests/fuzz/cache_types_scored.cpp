// Policies that score: by keys, by attention, by how probable tokens were.
#include "fuzz/cache_types.hpp"

namespace weir_fuzz {

using namespace weir;
namespace recipes = presets::recipes;

std::vector<cache_type> scored_types() {
  return {
      type_of<int8, preset<recipes::h2o>, positions::original, layouts::paged>("int8 h2o paged"),
      type_of<int4, preset<recipes::knorm>, positions::within_cache, layouts::contiguous>(
          "int4 knorm within-cache"),
      type_of<f16, preset<recipes::sirllm>, positions::within_cache, layouts::paged>(
          "f16 sirllm within-cache paged"),
  };
}

}  // namespace weir_fuzz
