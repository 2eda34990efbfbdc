#include "plain_cache.hpp"

template tool::cache_maker tool::plain_cache<weir::f32>(const cache_choice&);
