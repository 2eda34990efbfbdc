// Weights and activations from counters: the same on every machine.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <weir/core/half.hpp>
#include <weir/core/philox.hpp>
#include <weir/kernels/matrix_view.hpp>
#include "support/packed_weights.hpp"

namespace weir_test {

/// `n` numbers, uniform on [-scale, scale).
inline std::vector<float> random_floats(std::size_t n, std::uint64_t seed, float scale = 1.0f) {
  std::vector<float> x(n);
  const weir::random_source random{seed, 0};
  for (std::size_t i = 0; i < n; ++i)
    x[i] = scale * static_cast<float>(2 * random.uniform(weir::purpose::scoring, i) - 1);
  return x;
}

/// A matrix that owns its bytes.
struct owned_matrix {
  weir::weight_type type;
  std::size_t rows, cols;
  std::vector<std::byte> bytes;

  weir::matrix_view view() const { return {type, rows, cols, bytes.data()}; }
};

/// Every type of weight.
inline constexpr weir::weight_type all_weight_types[] = {
    weir::weight_type::f32,  weir::weight_type::f16,  weir::weight_type::bf16,
    weir::weight_type::q8_0, weir::weight_type::q4_0, weir::weight_type::q4_1,
    weir::weight_type::q5_0, weir::weight_type::q5_1, weir::weight_type::q4_k,
    weir::weight_type::q5_k, weir::weight_type::q6_k};

/// Whether `type` is one of those in support/packed_weights.hpp.
inline bool is_packed(weir::weight_type type) {
  return weir::is_quantized(type) && type != weir::weight_type::q8_0;
}

/// Writes `values[rows, cols]` as `type`. Q8_0 as in GGUF files: scale = max|w| / 127 in f16.
inline owned_matrix pack(weir::weight_type type, std::size_t rows, std::size_t cols,
                         const std::vector<float>& values) {
  owned_matrix m{type, rows, cols, std::vector<std::byte>(rows * weir::row_bytes(type, cols))};
  const auto put = [&](std::size_t i, auto value) {
    std::memcpy(m.bytes.data() + i * sizeof value, &value, sizeof value);
  };
  if (is_packed(type)) {
    m.bytes = encode_packed(static_cast<packing>(type), values);
    return m;
  }
  if (type == weir::weight_type::q8_0) {
    for (std::size_t b = 0; b < rows * cols / 32; ++b) {
      float most = 0;
      for (std::size_t i = 0; i < 32; ++i) most = std::fmax(most, std::fabs(values[b * 32 + i]));
      weir::q8_0_block block{};
      block.scale = weir::to_f16(most / 127);
      const float scale = weir::to_float(block.scale);
      for (std::size_t i = 0; i < 32 && scale > 0; ++i)
        block.quants[i] = static_cast<std::int8_t>(
            std::fmin(127.0f, std::fmax(-127.0f, std::nearbyint(values[b * 32 + i] / scale))));
      put(b, block);
    }
    return m;
  }
  for (std::size_t i = 0; i < rows * cols; ++i) {
    if (type == weir::weight_type::f32) put(i, values[i]);
    if (type == weir::weight_type::f16) put(i, weir::to_f16(values[i]));
    if (type == weir::weight_type::bf16) put(i, weir::to_bf16(values[i]));
  }
  return m;
}

/// One weight as a number.
inline float weight_at(const weir::matrix_view& m, std::size_t row, std::size_t col) {
  const std::byte* const p = m.row(row);
  switch (m.type) {
    case weir::weight_type::f32:
      return reinterpret_cast<const float*>(p)[col];
    case weir::weight_type::f16:
      return weir::to_float(reinterpret_cast<const weir::f16*>(p)[col]);
    case weir::weight_type::bf16:
      return weir::to_float(reinterpret_cast<const weir::bf16*>(p)[col]);
    case weir::weight_type::q8_0: {
      const auto& block = reinterpret_cast<const weir::q8_0_block*>(p)[col / 32];
      return weir::to_float(block.scale) * block.quants[col % 32];
    }
    default:
      return packed_weight(static_cast<packing>(m.type), p, col);
  }
}

/// Equal bit for bit, so that −0 differs from +0 and a NaN equals itself.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace weir_test
