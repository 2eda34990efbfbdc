// A weight matrix where it lies, in any of the types that weir computes with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/half.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/weight_blocks.hpp>

namespace weir::inline WEIR_TARGET {

// g++ 12 finds that an enumerator of a scoped enumeration shadows the type of its name.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
/// How the numbers of a weight matrix are written. The values are those of GGUF files.
enum class weight_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
};
#pragma GCC diagnostic pop

/// Whether products with such weights quantise the activations too.
constexpr bool is_quantized(weight_type type) {
  return type != weight_type::f32 && type != weight_type::f16 && type != weight_type::bf16;
}

/// Returns `f(std::type_identity<Element>{})` for what rows of such weights consist of: a number
/// or a block.
template <class F>
constexpr decltype(auto) with_element(weight_type type, F&& f) {
  switch (type) {
    case weight_type::f32:
      break;
    case weight_type::f16:
      return f(std::type_identity<f16>{});
    case weight_type::q4_0:
      return f(std::type_identity<q4_0_block>{});
    case weight_type::q4_1:
      return f(std::type_identity<q4_1_block>{});
    case weight_type::q5_0:
      return f(std::type_identity<q5_0_block>{});
    case weight_type::q5_1:
      return f(std::type_identity<q5_1_block>{});
    case weight_type::q8_0:
      return f(std::type_identity<q8_0_block>{});
    case weight_type::q4_k:
      return f(std::type_identity<q4_k_block>{});
    case weight_type::q5_k:
      return f(std::type_identity<q5_k_block>{});
    case weight_type::q6_k:
      return f(std::type_identity<q6_k_block>{});
    case weight_type::bf16:
      return f(std::type_identity<bf16>{});
  }
  return f(std::type_identity<float>{});
}

/// Weights in one element: 1 for a number.
template <class Element>
inline constexpr std::size_t weights_in = 1;
template <class Element>
  requires requires { Element::size; }
inline constexpr std::size_t weights_in<Element> = Element::size;

/// Bytes that `cols` weights of one matrix row take. For quantised types, cols is a multiple of
/// the block: 256 for q4_k, q5_k and q6_k, else 32.
constexpr std::size_t row_bytes(weight_type type, std::size_t cols) {
  return with_element(type, [&]<class Element>(std::type_identity<Element>) {
    return cols / weights_in<Element> * sizeof(Element);
  });
}

/// Borrows `[rows, cols]` weights, row by row without gaps. Row r makes output r of a product.
/// `data` is aligned to 4 bytes for f32, else to 2.
struct matrix_view {
  weight_type type = weight_type::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::byte* data = nullptr;
  bool in_panels = false;  ///< repacked: see kernels/weight_panels.hpp

  /// Where row r starts; in panels, where the panel that r is the first row of does.
  constexpr const std::byte* row(std::size_t r) const { return data + r * row_bytes(type, cols); }
  constexpr std::size_t bytes() const { return rows * row_bytes(type, cols); }
};

}  // namespace weir::inline WEIR_TARGET
