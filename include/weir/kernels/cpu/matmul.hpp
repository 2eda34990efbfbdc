// Matrix products of activations with weights where they lie. Results are defined bit by bit by
// kernels/reference/matmul.hpp: rows at a time, threads and SIMD width change the speed alone.
#pragma once

#include <algorithm>
#include <cstddef>

#include <weir/core/half.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/cpu/matmul_float.hpp>
#include <weir/kernels/cpu/matmul_q8_0.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

namespace detail {

template <class A>
void matmul(const matrix_view& w, const float* x, std::size_t rows, float* y,
            const quantized_rows& scratch, executor& threads, bool add) {
  if (w.type == weight_type::q8_0) {
    scratch.require_room(rows, w.cols);
    threads.for_range(rows, rows * w.cols, [&](std::size_t first, std::size_t last) {
      for (std::size_t row = first; row < last; ++row)
        quantize_row(x + row * w.cols, w.cols, row, scratch);
    });
  }
  // Threads share out whole tiles of outputs, so that none is left with ragged ends.
  constexpr std::size_t unit = 24;
  const std::size_t units = (w.rows + unit - 1) / unit;
  threads.for_range(units, rows * w.rows * w.cols, [&](std::size_t first, std::size_t last) {
    const std::size_t from = first * unit, outputs = std::min(last * unit, w.rows) - from;
    const auto as_floats = [&]<class Weight>(const Weight* weights) {
      float_product<A>(weights, w.cols, x, rows, y + from, outputs, w.rows, add);
    };
    const std::byte* const weights = w.row(from);
    switch (w.type) {
      case weight_type::f32:
        return as_floats(reinterpret_cast<const float*>(weights));
      case weight_type::f16:
        return as_floats(reinterpret_cast<const f16*>(weights));
      case weight_type::bf16:
        return as_floats(reinterpret_cast<const bf16*>(weights));
      case weight_type::q8_0:
        return q8_0_product<A>(reinterpret_cast<const q8_0_block*>(weights), w.cols, scratch, rows,
                               y + from, outputs, w.rows, add);
    }
  });
}

}  // namespace detail

/// y[row, output] = Σ_k w[output, k] · x[row, k]. x is [rows, w.cols], y is [rows, w.rows];
/// neither overlaps the other. `scratch` has room for x where the weights are quantised and may be
/// empty where they are not. Reads the weights from memory once. O(rows · w.rows · w.cols).
template <class Arch = simd::native>
void matmul(const matrix_view& w, const float* x, std::size_t rows, float* y,
            const quantized_rows& scratch, executor& threads) {
  detail::matmul<Arch>(w, x, rows, y, scratch, threads, false);
}

/// y[row, output] = y[row, output] + Σ_k w[output, k] · x[row, k]: the sum first, then one
/// addition.
template <class Arch = simd::native>
void matmul_add(const matrix_view& w, const float* x, std::size_t rows, float* y,
                const quantized_rows& scratch, executor& threads) {
  detail::matmul<Arch>(w, x, rows, y, scratch, threads, true);
}

}  // namespace weir
