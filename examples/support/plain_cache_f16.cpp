#include "plain_cache.hpp"

template tool::cache_maker tool::plain_cache<weir::f16>(const cache_choice&);
