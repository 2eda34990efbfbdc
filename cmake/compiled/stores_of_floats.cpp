#include "compiled.hpp"

template class weir::kv_store<weir::f32, weir::layouts::contiguous>;
template class weir::kv_store<weir::f16, weir::layouts::contiguous>;
template class weir::kv_store<weir::bf16, weir::layouts::contiguous>;
template class weir::kv_store<weir::f32, weir::layouts::paged>;
template class weir::kv_store<weir::f16, weir::layouts::paged>;
