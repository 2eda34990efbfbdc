// Large matrices of random weights of any type, made fast: rows start at random places of a pool
// that was written number by number.
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <weir/core/arena.hpp>
#include <weir/core/philox.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/model/gguf/ggml_type.hpp>
#include "support/byte_buffer.hpp"
#include "support/random.hpp"
#include "support/random_weights.hpp"  // of the tests

namespace weir_bench {

using weir_test::all_weight_types;

/// "q8_0"
inline std::string name_of(weir::weight_type type) {
  std::string name(weir::layout_of(static_cast<weir::ggml_type>(type))->name);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}
inline std::optional<weir::weight_type> weight_type_named(std::string_view name) {
  for (const weir::weight_type type : all_weight_types)
    if (name_of(type) == name) return type;
  return std::nullopt;
}

/// Rows of normally distributed weights of standard deviation 1/√cols.
class weight_pool {
 public:
  /// `cols` is a multiple of 256.
  weight_pool(weir::weight_type type, std::size_t cols)
      : cols_(cols),
        pool_(weir_test::pack(
            type, 1, size + cols,
            normal_floats(size + cols, 1 / std::sqrt(static_cast<float>(cols)), 1))) {}

  std::size_t cols() const { return cols_; }

  /// The bytes of row `row` of matrix number `matrix`: always the same.
  std::span<const std::byte> row(std::uint32_t matrix, std::size_t row) const {
    const std::uint32_t random =
        weir::philox({matrix, static_cast<std::uint32_t>(row), 0, 0}, {})[0];
    const std::size_t first = random % (size / step) * step;
    return std::span(pool_.bytes)
        .subspan(weir::row_bytes(pool_.type, first), weir::row_bytes(pool_.type, cols_));
  }

 private:
  static constexpr std::size_t size = std::size_t{1} << 20;
  static constexpr std::size_t step = 256;  // the largest block

  std::size_t cols_;
  weir_test::owned_matrix pool_;
};

/// Matrices of one shape, one behind the other, in huge pages.
class weight_matrices {
 public:
  weight_matrices(weir::weight_type type, std::size_t rows, std::size_t cols, std::size_t count)
      : first_{type, rows, cols, nullptr}, count_(count), memory_(count * first_.bytes()) {
    const weight_pool pool(type, cols);
    std::byte* at = memory_.bytes().data();
    first_.data = at;
    for (std::uint32_t m = 0; m < count; ++m)
      for (std::size_t r = 0; r < rows; ++r) at = std::ranges::copy(pool.row(m, r), at).out;
  }

  std::size_t count() const { return count_; }
  weir::matrix_view operator[](std::size_t i) const {
    return {first_.type, first_.rows, first_.cols, first_.data + i * first_.bytes()};
  }

 private:
  weir::matrix_view first_;
  std::size_t count_;
  byte_buffer memory_;
};

/// Working memory for products of `rows` rows of up to `cols` activations.
class product_memory {
 public:
  product_memory(std::size_t rows, std::size_t cols) {
    weir::arena_plan plan;
    const auto layout = weir::quantized_rows::reserve(plan, rows, cols);
    memory_ = weir::arena(plan);
    quantized_ = layout.in(memory_);
  }
  operator const weir::quantized_rows&() const { return quantized_; }

 private:
  weir::arena memory_;
  weir::quantized_rows quantized_;
};

}  // namespace weir_bench
