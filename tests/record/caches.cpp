#include "caches.hpp"

#include <iterator>
#include <utility>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/layout/concept.hpp>

namespace weir_record {

namespace {

void append(cache_list& all, cache_list some) {
  all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
}

template <class Codec>
void append_layouts(cache_list& all) {
  append(all, caches_in<Codec, weir::layouts::contiguous>());
  append(all, caches_in<Codec, weir::layouts::paged>());
}

template <std::size_t... Part>
void append_presets(cache_list& all, std::index_sequence<Part...>) {
  (append(all, other_presets<Part>()), ...);
}

}  // namespace

cache_list caches_of_codecs() {
  cache_list all;
  append_layouts<weir::f32>(all);
  append_layouts<weir::f16>(all);
  append_layouts<weir::bf16>(all);
  append_layouts<weir::int8>(all);
  append_layouts<weir::int4>(all);
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
