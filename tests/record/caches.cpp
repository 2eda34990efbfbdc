#include "caches.hpp"

#include <iterator>
#include <utility>

#include <weir/cache/codec/concept.hpp>

namespace weir_record {

namespace {

void append(cache_list& all, cache_list some) {
  all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
}

template <std::size_t... Part>
void append_presets(cache_list& all, std::index_sequence<Part...>) {
  (append(all, other_presets<Part>()), ...);
}

}  // namespace

cache_list caches_of_codecs() {
  cache_list all;
  append(all, caches_in<weir::f32>());
  append(all, caches_in<weir::f16>());
  append(all, caches_in<weir::bf16>());
  append(all, caches_in<weir::int8>());
  append(all, caches_in<weir::int4>());
  return all;
}

cache_list all_caches() {
  cache_list all = caches_of_codecs();
  append_presets(all, std::make_index_sequence<preset_parts>{});
  return all;
}

void add_entries(const weir::any_cache& cache, bit_hash& kept, bit_hash& bits) {
  for (std::size_t layer = 0; layer < cache.shape().layers; ++layer)
    for (std::size_t head = 0; head < cache.shape().kv_heads; ++head) {
      std::uint64_t entries = 0;
      cache.for_each_entry(layer, head, [&](const weir::cache_entry& e) {
        kept.add(e.index.value);
        bits.add(e.tile), bits.add(e.lane);
        bits.add(e.key), bits.add(e.value);
        ++entries;
      });
      kept.add(entries);
    }
}

}  // namespace weir_record
