// Bodies of kernels/weight_panels.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/weight_panels.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE matrix_view repack(const matrix_view& w, std::byte* out, executor& threads) {
  error::require<error::bad_input>(can_repack(w.type) && !w.in_panels, "repack: weights of type ",
                                   static_cast<std::uint32_t>(w.type),
                                   w.in_panels ? " in panels" : "",
                                   " (expected rows of blocks of 32 weights)");
  const std::size_t whole = w.rows / panel_height;
  with_element(w.type, [&]<class Element>(std::type_identity<Element>) {
    if constexpr (weights_in<Element> == 32) {
      const auto* const from = reinterpret_cast<const Element*>(w.data);
      const std::size_t blocks = w.cols / Element::size;
      threads.for_range(whole, w.bytes(), [&](std::size_t first, std::size_t last) {
        detail::fill_panels(from, blocks, first * panel_height, last * panel_height, out);
      });
    }
  });
  const std::size_t done = whole * panel_height * row_bytes(w.type, w.cols);
  std::copy(w.data + done, w.data + w.bytes(), out + done);
  matrix_view panels = w;
  panels.data = out;
  panels.in_panels = true;
  return panels;
}

}  // namespace weir::inline WEIR_TARGET
