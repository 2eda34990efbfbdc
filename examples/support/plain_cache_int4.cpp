#include "plain_cache.hpp"

template tool::cache_maker tool::plain_cache<weir::int4>(const cache_choice&);
