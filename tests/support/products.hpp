// Matrix products for tests: by the definition, and by the fast kernels of one architecture.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include <weir/core/arena.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/reference/matmul.hpp>
#include "support/random_weights.hpp"

namespace weir_test {

/// Working memory that owns itself.
struct scratch {
  scratch(std::size_t rows, std::size_t cols) {
    weir::arena_plan plan;
    const auto layout = weir::quantized_rows::reserve(plan, rows, cols);
    memory = weir::arena(plan);
    rooms = layout.in(memory);
  }
  weir::arena memory;
  weir::quantized_rows rooms;
};

inline std::vector<float> plain(const owned_matrix& w, const std::vector<float>& x,
                                std::size_t rows) {
  std::vector<float> y(rows * w.rows);
  weir::reference::matmul(w.view(), x.data(), rows, y.data(), scratch(1, w.cols).rooms);
  return y;
}

/// weir::matmul, or weir::matmul_add, compiled once for each of support/arches.hpp: see
/// kernels/products_*.cpp.
template <class Arch>
void product(const weir::matrix_view& w, const float* x, std::size_t rows, float* y,
             const weir::quantized_rows& rooms, weir::executor& threads, bool add = false);

template <class Arch>
std::vector<float> fast(const owned_matrix& w, const std::vector<float>& x, std::size_t rows,
                        weir::executor& threads) {
  std::vector<float> y(rows * w.rows, std::numeric_limits<float>::quiet_NaN());
  product<Arch>(w.view(), x.data(), rows, y.data(), scratch(rows, w.cols).rooms, threads);
  return y;
}
template <class Arch>
std::vector<float> fast(const owned_matrix& w, const std::vector<float>& x, std::size_t rows) {
  weir::executor one;
  return fast<Arch>(w, x, rows, one);
}

}  // namespace weir_test
