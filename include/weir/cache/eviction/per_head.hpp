// per_head<A, B>: one list of policies for some KV heads, another for the rest. DuoAttention
// (arXiv 2410.10819) is per_head<keep<sinks, window>, keep_all>; label all heads of a layer alike
// for policies by layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {
template <class K>
inline constexpr bool is_list = std::is_same_v<K, keep_all>;
template <class... Policies>
inline constexpr bool is_list<keep<Policies...>> = true;

/// Lists that a single head can follow.
template <class K>
inline constexpr bool decides_by_head =
    is_list<K> && !keep_decides_by_layer<K> && !keep_has_changing_budgets<K>;
}  // namespace detail

template <class A, class B>
struct per_head {
  static_assert(
      detail::decides_by_head<A> && detail::decides_by_head<B>,
      "weir: per_head<A, B> chooses a list for each KV head: A and B are keep_all or "
      "keep<...> whose policies decide for each KV head, with budgets that do not change");

  A a;
  B b;
  std::vector<std::uint8_t> labels;  ///< [layer, kv_head] 0: a, else b

  /// `use(list)` with the list of a (layer, KV head).
  template <class Use>
  decltype(auto) with_list(std::size_t head_index, Use use) const {
    return labels[head_index] == 0 ? use(a) : use(b);
  }
};

template <class A, class B>
inline constexpr bool is_keep<per_head<A, B>> = true;
template <class A, class B>
inline constexpr bool legal_keep<per_head<A, B>> =
    detail::decides_by_head<A> && detail::decides_by_head<B> && legal_keep<A> && legal_keep<B>;
template <class A, class B>
inline constexpr bool is_positional_keep<per_head<A, B>> =
    is_positional_keep<A> && is_positional_keep<B>;
template <class A, class B>
inline constexpr signals keep_needs<per_head<A, B>> = keep_needs<A> | keep_needs<B>;
template <class A, class B>
inline constexpr bool keep_observes<per_head<A, B>> = keep_observes<A> || keep_observes<B>;
template <class A, class B>
inline constexpr bool keep_has_on_append<per_head<A, B>> =
    keep_has_on_append<A> || keep_has_on_append<B>;
template <class A, class B>
inline constexpr bool keep_has_evict_handler<per_head<A, B>> =
    keep_has_evict_handler<A> || keep_has_evict_handler<B>;
template <class A, class B>
inline constexpr bool keep_needs_original_positions<per_head<A, B>> =
    keep_needs_original_positions<A> || keep_needs_original_positions<B>;

template <class A, class B>
std::size_t budget_in(const per_head<A, B>& k, const kv_shape& shape, std::size_t layer,
                      std::size_t kv_head) {
  return k.with_list(layer * shape.kv_heads + kv_head,
                     [&](const auto& list) { return budget_in(list, shape, layer, kv_head); });
}

/// Throws error::bad_config unless a list and its policies fit a model.
inline void validate(const keep_all&, const kv_shape&) {}
template <class... Policies>
void validate(const keep<Policies...>& k, const kv_shape& shape) {
  k.for_each([&](const auto& m) { validate_policy(m, shape); });
}
template <class A, class B>
void validate(const per_head<A, B>& k, const kv_shape& shape) {
  validate(k.a, shape);
  validate(k.b, shape);
  error::require<error::bad_config>(
      k.labels.size() == shape.total_kv_heads(), "per_head: ", k.labels.size(),
      " labels (expected ", shape.total_kv_heads(), ", one for each KV head of each layer)");
}

}  // namespace weir::inline WEIR_TARGET
