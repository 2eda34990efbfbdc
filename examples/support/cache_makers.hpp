// Makers of caches by codec and by preset. Each is compiled in a file of its own.
#pragma once

#include <weir/kernels/kv_shape.hpp>
#include <weir/stream/chosen_cache.hpp>

#include "session.hpp"

namespace tool {

using weir::cache_maker, weir::maker_of;

/// full, window and sinks-window in this codec.
template <class Codec>
cache_maker plain_cache(const cache_choice& choice);

/// A preset in f16 or f32.
template <class Recipe>
cache_maker preset_cache(const cache_choice& choice, const weir::kv_shape& shape);

/// What a choice comes to. Throws weir::error::base where it is refused.
cache_maker maker_for(const cache_choice& choice, const weir::llama_model& model);

}  // namespace tool
