// full, window and sinks-window. One translation unit per codec compiles them.
#pragma once

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>

#include "cache_makers.hpp"

namespace tool {

template <class Codec>
cache_maker plain_cache(const cache_choice& c) {
  using namespace weir;
  const auto place = [&]<class Keep>(Keep keep) {
    return positions_of(c) == "original"
               ? maker_of<kv_cache<Codec, Keep, positions::original>>(keep)
               : maker_of<kv_cache<Codec, Keep, positions::within_cache>>(keep);
  };
  if (c.policy == "full") return maker_of<kv_cache<Codec, keep_all>>({c.rows});
  if (c.policy == "window") return place(keep<window>{window{c.window}});
  return place(keep<sinks, window>{sinks{c.sinks}, window{c.window}});
}

}  // namespace tool
