// Drafters that run a model of their own, by the cache that it runs over.
#pragma once

#include <weir/core/target.hpp>
#include <weir/speculation/drafters/draft_model.hpp>
#include <weir/speculation/drafters/dynamic_tree.hpp>
#include <weir/speculation/drafters/static_tree.hpp>
#include <weir/stream/token_stream.hpp>

namespace weir::inline WEIR_TARGET {

template <class Cache, sibling_kind Kind = sibling_kind::coupled>
using draft_model = basic_draft_model<token_stream<Cache>, Kind>;
template <class Cache>
using static_tree = basic_static_tree<token_stream<Cache>>;
template <class Cache, sibling_kind Kind = sibling_kind::coupled>
using dynamic_tree = basic_dynamic_tree<token_stream<Cache>, Kind>;

}  // namespace weir::inline WEIR_TARGET
