// Stores that presets share: compiled in stores.cpp alone.
#pragma once

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/kv_store.hpp>
#include <weir/cache/layout/concept.hpp>

extern template class weir::kv_store<weir::f16, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::f32, weir::layouts::contiguous>;
extern template class weir::kv_store<weir::f16, weir::layouts::paged>;
extern template class weir::kv_store<weir::f32, weir::layouts::paged>;
