// Matrix products of activations with weights where they lie. Results are defined bit by bit by
// kernels/reference/matmul.hpp: rows at a time, threads and SIMD width change the speed alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/cpu/matmul_float.hpp>
#include <weir/kernels/cpu/matmul_packed.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

template <class A>
void matmul(const matrix_view& w, const float* x, std::size_t rows, float* y,
            const quantized_rows& scratch, executor& threads, bool add) {
  if (is_quantized(w.type)) {
    scratch.require_room(rows, w.cols);
    threads.for_range(rows, rows * w.cols, [&](std::size_t first, std::size_t last) {
      for (std::size_t row = first; row < last; ++row)
        quantize_row(x + row * w.cols, w.cols, row, scratch);
    });
  }
  // Threads share out whole tiles of outputs, so that none is left with ragged ends.
  const std::size_t unit = is_quantized(w.type) ? 32 : 24;
  const std::size_t units = (w.rows + unit - 1) / unit;
  threads.for_range(units, rows * w.rows * w.cols, [&](std::size_t first, std::size_t last) {
    const std::size_t from = first * unit, outputs = std::min(last * unit, w.rows) - from;
    with_element(w.type, [&]<class Element>(std::type_identity<Element>) {
      const auto* const weights = reinterpret_cast<const Element*>(w.row(from));
      if constexpr (weights_in<Element> == 1)
        float_product<A>(float_place<Element>{weights, w.cols, x, y + from, w.rows, 1, add}, rows,
                         outputs);
      else if (weights_in<Element> != 32 || !w.in_panels)
        packed_product<A>(weights, w.cols, scratch, rows, y + from, outputs, w.rows, add);
      else if constexpr (weights_in<Element> == 32)
        repacked_product<A>(weights, w.cols, scratch, rows, y + from, outputs, w.rows, add);
    });
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

}  // namespace weir::inline WEIR_TARGET
