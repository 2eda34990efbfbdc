// What policies ask of all keys of a KV head.
#pragma once

#include <cstddef>

#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/unit_keys.hpp>
#if !defined(WEIR_COMPILED)
#include <weir/kernels/cpu/key_products.hpp>
#include <weir/kernels/cpu/similar_keys.hpp>
#endif

namespace weir::inline WEIR_TARGET {

/// See key_dots, add_weighted_keys and most_similar_keys in kernels/cpu/key_products.hpp and
/// kernels/cpu/similar_keys.hpp.
template <class Codec>
struct key_kernels {
  static constexpr std::size_t number = 9 + codec_number<Codec>;
  /// Where in the block a tile lies.
  using pages = function_ref<std::size_t(std::size_t tile)>;

  void (*dots)(const attention_block<Codec>& block, std::size_t tiles, pages page, std::size_t rows,
               float* out, std::size_t stride);
  void (*add_weighted)(const attention_block<Codec>& block, std::size_t tiles, pages page,
                       const float* weight, float* sum);
  void (*most_similar)(const attention_block<Codec>& block, std::size_t tiles, pages page,
                       const float* inverse_norm, const unit_keys& keys, similar_key* out);
};

#if !defined(WEIR_COMPILED)
template <class Codec, class A>
struct kernel_group<key_kernels<Codec>, A> {
  using pages = typename key_kernels<Codec>::pages;
  static constexpr key_kernels<Codec> value{
      .dots = &cpu::key_dots<A, Codec, pages>,
      .add_weighted = &cpu::add_weighted_keys<A, Codec, pages>,
      .most_similar = &cpu::most_similar_keys<A, Codec, pages>};
};
#endif

}  // namespace weir::inline WEIR_TARGET
