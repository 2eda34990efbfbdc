// The caches on record: each type is compiled once, whoever drives it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <weir/kernels/kv_shape.hpp>
#include <weir/stream/chosen_cache.hpp>

#include "record.hpp"

namespace weir_record {

/// Entries that a head may select, and tokens between boundaries.
inline constexpr std::size_t budget = 40, cadence = 8;

/// A preset with a codec, positions and a layout, by name: "h2o int8 original", "h2o int8 original
/// paged".
struct recorded_cache {
  std::string name;
  std::function<weir::cache_maker(const weir::kv_shape&, std::size_t entries)> make;
};
using cache_list = std::vector<recorded_cache>;

/// Presets of different kinds, with original positions and, where they may be, within the cache.
/// Compiled for each codec: f32, f16, bf16, int8, int4; and for contiguous and, four of them, paged
/// layout.
template <class Codec, class Layout>
cache_list caches_in();

/// All other presets in f16 with original positions, a share of them in each of `preset_parts`.
inline constexpr std::size_t preset_parts = 4;
template <std::size_t Part>
cache_list other_presets();

/// Those of every codec.
cache_list caches_of_codecs();
/// Every preset there is.
cache_list all_caches();

/// Adds the live entries of all heads: to `kept` which they are, and to `bits` where they lie and
/// what they hold.
void add_entries(const weir::any_cache& cache, bit_hash& kept, bit_hash& bits);

}  // namespace weir_record
