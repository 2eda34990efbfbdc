// Matrix products for tests: by the definition, and by the fast kernels of one architecture.
#pragma once

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include <weir/core/arena.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/kernels/reference/matmul.hpp>
#include <weir/kernels/weight_panels.hpp>
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

/// A copy in panels.
struct repacked_matrix {
  explicit repacked_matrix(const owned_matrix& w) {
    weir::arena_plan plan;
    const auto bytes = plan.reserve<std::byte>(w.view().bytes());
    memory = weir::arena(plan);
    weir::executor one;
    view = weir::repack(w.view(), memory[bytes].data(), one);
  }
  weir::arena memory;
  weir::matrix_view view;
};

/// Throws if the same weights in panels give other bits.
template <class Arch>
std::vector<float> fast(const owned_matrix& w, const std::vector<float>& x, std::size_t rows,
                        weir::executor& threads) {
  const auto times = [&](const weir::matrix_view& view) {
    std::vector<float> y(rows * w.rows, std::numeric_limits<float>::quiet_NaN());
    product<Arch>(view, x.data(), rows, y.data(), scratch(rows, w.cols).rooms, threads);
    return y;
  };
  const std::vector<float> y = times(w.view());
  if (weir::can_repack(w.type) && !same_bits(y, times(repacked_matrix(w).view)))
    throw std::logic_error("weights in panels give other bits");
  return y;
}
template <class Arch>
std::vector<float> fast(const owned_matrix& w, const std::vector<float>& x, std::size_t rows) {
  weir::executor one;
  return fast<Arch>(w, x, rows, one);
}

}  // namespace weir_test
