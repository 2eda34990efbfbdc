// A weight matrix where it lies, in any of the types that weir computes with.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/half.hpp>

namespace weir {

/// How the numbers of a weight matrix are written. The values are those of GGUF files.
enum class weight_type : std::uint32_t { f32 = 0, f16 = 1, q8_0 = 8, bf16 = 30 };

/// 32 weights that share one scale: weight i is `scale * quants[i]`. 34 bytes, no padding.
struct q8_0_block {
  static constexpr std::size_t size = 32;  ///< weights in one block
  f16 scale;
  std::int8_t quants[size];
};
static_assert(sizeof(q8_0_block) == 34 && alignof(q8_0_block) == 2);

/// Bytes that `cols` weights of one matrix row take. For q8_0, cols is a multiple of 32.
constexpr std::size_t row_bytes(weight_type type, std::size_t cols) {
  switch (type) {
    case weight_type::f32:
      return cols * sizeof(float);
    case weight_type::f16:
    case weight_type::bf16:
      return cols * sizeof(f16);
    case weight_type::q8_0:
      return cols / q8_0_block::size * sizeof(q8_0_block);
  }
  return 0;
}

/// Borrows `[rows, cols]` weights, row by row without gaps. Row r makes output r of a product.
/// `data` is aligned to 4 bytes for f32, else to 2.
struct matrix_view {
  weight_type type = weight_type::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::byte* data = nullptr;

  constexpr const std::byte* row(std::size_t r) const { return data + r * row_bytes(type, cols); }
  constexpr std::size_t bytes() const { return rows * row_bytes(type, cols); }
};

}  // namespace weir
