#include "compiled.hpp"

template void weir::detail::matmul<weir::simd::native>(const weir::matrix_view&, const float*,
                                                       std::size_t, float*,
                                                       const weir::quantized_rows&, weir::executor&,
                                                       bool);
