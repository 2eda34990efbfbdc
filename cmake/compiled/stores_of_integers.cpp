#include "compiled.hpp"

template class weir::kv_store<weir::int8, weir::layouts::contiguous>;
template class weir::kv_store<weir::int4, weir::layouts::contiguous>;
