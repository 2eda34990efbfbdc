// Policies that change budgets while they run, or change what they keep.
#include "fuzz/cache_types.hpp"

namespace weir_fuzz {

using namespace weir;
namespace recipes = presets::recipes;

std::vector<cache_type> changing_types() {
  return {
      type_of<f32, preset<recipes::ada_kv>, positions::within_cache, layouts::paged>(
          "f32 ada-kv within-cache paged"),
      type_of<bf16, preset<recipes::d2o>, positions::original, layouts::paged>("bf16 d2o paged"),
  };
}

}  // namespace weir_fuzz
