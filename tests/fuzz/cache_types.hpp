// The caches that the cache harness drives: few, but each axis in every state.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <weir/cache/any_cache.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/presets.hpp>

namespace weir_fuzz {

/// A cache type with its types forgotten; `entries` is about what its policy keeps.
struct cache_type {
  const char* name;
  std::unique_ptr<weir::any_cache> (*make)(std::size_t entries, const weir::kv_shape&,
                                           const weir::cache_options&);
  std::size_t (*required_bytes)(std::size_t entries, const weir::kv_shape&,
                                const weir::cache_options&);
  /// Null where pages are not shared.
  std::unique_ptr<weir::any_cache> (*fork)(const weir::any_cache&);
  void (*fork_from)(weir::any_cache& to, const weir::any_cache& from);
};

/// Codec, positions and layout of a policy; `Make::of(entries, shape, cadence)` gives the policy.
template <class Codec, class Make, class Positions, class Layout>
cache_type type_of(const char* name) {
  using keep = decltype(Make::of(std::size_t{}, weir::kv_shape{}, std::size_t{}));
  using cache = weir::kv_cache<Codec, keep, Positions, Layout>;
  using one = weir::one_cache<cache>;
  cache_type t{name,
               [](std::size_t n, const weir::kv_shape& s,
                  const weir::cache_options& o) -> std::unique_ptr<weir::any_cache> {
                 return std::make_unique<one>(s, Make::of(n, s, o.cadence), o);
               },
               [](std::size_t n, const weir::kv_shape& s, const weir::cache_options& o) {
                 return cache::required_bytes(s, Make::of(n, s, o.cadence), o);
               },
               nullptr, nullptr};
  if constexpr (Layout::pages_taken) {
    t.fork = [](const weir::any_cache& c) -> std::unique_ptr<weir::any_cache> {
      return std::make_unique<one>(static_cast<const one&>(c));
    };
    t.fork_from = [](weir::any_cache& to, const weir::any_cache& from) {
      static_cast<one&>(to).fork_from(static_cast<const one&>(from));
    };
  }
  return t;
}

/// A preset as a policy.
template <class Recipe>
struct preset {
  static auto of(std::size_t entries, const weir::kv_shape& shape, std::size_t cadence) {
    weir::presets::recipes::ask a{.entries = entries, .cadence = cadence, .shape = shape};
    if constexpr (weir::presets::recipes::needs_labels<Recipe>) {
      for (std::size_t head_index = 0; head_index < shape.total_kv_heads(); ++head_index)
        a.labels.push_back(head_index % 3 == 1);
      a.capacity = 512;
    }
    return Recipe::of(a);
  }
};

std::vector<cache_type> positional_types();
std::vector<cache_type> scored_types();
std::vector<cache_type> changing_types();

}  // namespace weir_fuzz
