#include "plain_cache.hpp"

template tool::cache_maker tool::plain_cache<weir::bf16>(const cache_choice&);
