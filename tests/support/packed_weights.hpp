// Packed weight blocks for tests: a plain encoder, and a decoder that takes one weight at a time.
// Both follow the file format by byte offsets and share nothing with the library's own structs.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <weir/core/half.hpp>

namespace weir_test {

/// The types by their id in files.
enum class packing : std::uint32_t {
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
};

inline constexpr std::array all_packings = {packing::q4_0, packing::q4_1, packing::q5_0,
                                            packing::q5_1, packing::q4_k, packing::q5_k,
                                            packing::q6_k};

inline std::size_t packed_block_weights(packing p) {
  return static_cast<std::uint32_t>(p) >= 12 ? 256 : 32;
}
inline std::size_t packed_block_bytes(packing p) {
  switch (p) {
    case packing::q4_0:
      return 18;
    case packing::q4_1:
      return 20;
    case packing::q5_0:
      return 22;
    case packing::q5_1:
      return 24;
    case packing::q4_k:
      return 144;
    case packing::q5_k:
      return 176;
    case packing::q6_k:
      return 210;
  }
  throw std::logic_error("no such packing");
}
/// Where a block keeps f16 numbers: the first of them, and how many.
inline std::array<std::size_t, 2> packed_block_halves(packing p) {
  if (p == packing::q6_k) return {208, 1};
  return {0, p == packing::q4_0 || p == packing::q5_0 ? 1u : 2u};
}

namespace packed {

inline double half_at(const std::byte* b, std::size_t at) {
  weir::f16 h;
  std::memcpy(&h, b + at, sizeof h);
  return weir::to_float(h);
}
inline double put_half(std::byte* b, std::size_t at, double value) {
  const weir::f16 h = weir::to_f16(static_cast<float>(value));
  std::memcpy(b + at, &h, sizeof h);
  return weir::to_float(h);
}
/// `count` bits from bit `from` of byte `at`.
inline int bits(const std::byte* b, std::size_t at, std::size_t from, int count) {
  return std::to_integer<int>(b[at] >> static_cast<int>(from)) & ((1 << count) - 1);
}
inline void put_bits(std::byte* b, std::size_t at, std::size_t from, int value) {
  b[at] |= static_cast<std::byte>(value << from);
}

/// Where the bits of weight i lie: low bits at (byte, bit), high ones at (byte, bit).
struct place {
  std::size_t low, low_bit, high, high_bit;
  int high_count;
};
inline place place_of(packing p, std::size_t i) {
  const std::size_t part = i / 32, j = i % 32, n = i / 128, q = i % 128 / 32;
  switch (p) {
    case packing::q4_0:
      return {2 + i % 16, i / 16 * 4, 0, 0, 0};
    case packing::q4_1:
      return {4 + i % 16, i / 16 * 4, 0, 0, 0};
    case packing::q5_0:
      return {6 + i % 16, i / 16 * 4, 2 + i / 8, i % 8, 1};
    case packing::q5_1:
      return {8 + i % 16, i / 16 * 4, 4 + i / 8, i % 8, 1};
    case packing::q4_k:
      return {16 + i / 64 * 32 + j, part % 2 * 4, 0, 0, 0};
    case packing::q5_k:
      return {48 + i / 64 * 32 + j, part % 2 * 4, 16 + j, part, 1};
    case packing::q6_k:
      return {64 * n + i % 64, q / 2 * 4, 128 + 32 * n + j, 2 * q, 2};
  }
  throw std::logic_error("no such packing");
}
inline int code_at(packing p, const std::byte* b, std::size_t i) {
  const place at = place_of(p, i);
  return bits(b, at.low, at.low_bit, 4) + 16 * bits(b, at.high, at.high_bit, at.high_count);
}
inline void put_code(packing p, std::byte* b, std::size_t i, double code) {
  const place at = place_of(p, i);
  const int most = (16 << at.high_count) - 1;
  const int whole = static_cast<int>(std::clamp(std::nearbyint(code), 0.0, double(most)));
  put_bits(b, at.low, at.low_bit, whole % 16);
  if (at.high_count > 0) put_bits(b, at.high, at.high_bit, whole / 16);
}
/// Of a part of Q4_K and Q5_K.
inline int six_bits(const std::byte* b, std::size_t part, bool offset) {
  const std::size_t row = offset ? 8 : 4;
  if (part < 4) return bits(b, row + part, 0, 6);
  return bits(b, 8 + part, offset ? 4 : 0, 4) + 16 * bits(b, row + part - 4, 6, 2);
}
inline void put_six_bits(std::byte* b, std::size_t part, bool offset, int value) {
  const std::size_t row = offset ? 8 : 4;
  if (part < 4) return put_bits(b, row + part, 0, value);
  put_bits(b, 8 + part, offset ? 4 : 0, value % 16);
  put_bits(b, row + part - 4, 6, value / 16);
}

inline double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

/// The number of largest magnitude, with its sign.
inline double peak(const float* x, std::size_t n) {
  return *std::max_element(x, x + n, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

inline void encode_block(packing p, const float* x, std::byte* b) {
  const std::size_t n = packed_block_weights(p);
  const int codes = p == packing::q6_k ? 64 : place_of(p, 0).high_count == 1 ? 32 : 16;
  if (p == packing::q4_0 || p == packing::q5_0) {
    const double d = put_half(b, 0, -2 * peak(x, n) / codes);
    for (std::size_t i = 0; i < n; ++i) put_code(p, b, i, ratio(x[i], d) + codes / 2.0);
  } else if (p == packing::q4_1 || p == packing::q5_1) {
    const auto [least, most] = std::minmax_element(x, x + n);
    const double d = put_half(b, 0, (double{*most} - *least) / (codes - 1));
    const double m = put_half(b, 2, *least);
    for (std::size_t i = 0; i < n; ++i) put_code(p, b, i, ratio(x[i] - m, d));
  } else if (p == packing::q6_k) {
    double scale[16], most = 0;
    for (std::size_t g = 0; g < 16; ++g) {
      scale[g] = peak(x + 16 * g, 16) / -32;
      most = std::max(most, std::fabs(scale[g]));
    }
    const double d = put_half(b, 208, most / 127);
    for (std::size_t g = 0; g < 16; ++g) {
      const double step = std::clamp(std::nearbyint(ratio(scale[g], d)), -128.0, 127.0);
      b[192 + g] = static_cast<std::byte>(static_cast<int>(step));
      for (std::size_t i = 16 * g; i < 16 * g + 16; ++i)
        put_code(p, b, i, ratio(x[i], d * step) + 32);
    }
  } else {
    double scale[8], offset[8], max_scale = 0, max_offset = 0;
    for (std::size_t part = 0; part < 8; ++part) {
      const auto [least, most] = std::minmax_element(x + 32 * part, x + 32 * part + 32);
      offset[part] = std::max(0.0, -double{*least});
      scale[part] = std::max(0.0, *most + offset[part]) / (codes - 1);
      max_scale = std::max(max_scale, scale[part]);
      max_offset = std::max(max_offset, offset[part]);
    }
    const double d = put_half(b, 0, max_scale / 63), m = put_half(b, 2, max_offset / 63);
    for (std::size_t part = 0; part < 8; ++part) {
      const double s = std::min(63.0, std::nearbyint(ratio(scale[part], d)));
      const double o = std::min(63.0, std::nearbyint(ratio(offset[part], m)));
      put_six_bits(b, part, false, static_cast<int>(s));
      put_six_bits(b, part, true, static_cast<int>(o));
      for (std::size_t i = 32 * part; i < 32 * part + 32; ++i)
        put_code(p, b, i, ratio(x[i] + m * o, d * s));
    }
  }
}

}  // namespace packed

/// `values` as blocks, whose size divides their number.
inline std::vector<std::byte> encode_packed(packing p, const std::vector<float>& values) {
  const std::size_t n = packed_block_weights(p), bytes = packed_block_bytes(p);
  std::vector<std::byte> out(values.size() / n * bytes);
  for (std::size_t i = 0; i < values.size() / n; ++i)
    packed::encode_block(p, &values[i * n], &out[i * bytes]);
  return out;
}

/// Weight i of the blocks at `data`, rounded once.
inline float packed_weight(packing p, const std::byte* data, std::size_t i) {
  const std::size_t n = packed_block_weights(p);
  const std::byte* const b = data + i / n * packed_block_bytes(p);
  i %= n;
  const int code = packed::code_at(p, b, i);
  switch (p) {
    case packing::q4_0:
      return static_cast<float>(packed::half_at(b, 0) * (code - 8));
    case packing::q5_0:
      return static_cast<float>(packed::half_at(b, 0) * (code - 16));
    case packing::q4_1:
    case packing::q5_1:
      return static_cast<float>(packed::half_at(b, 0) * code + packed::half_at(b, 2));
    case packing::q6_k:
      return static_cast<float>(packed::half_at(b, 208) *
                                (static_cast<std::int8_t>(b[192 + i / 16]) * (code - 32)));
    case packing::q4_k:
    case packing::q5_k:
      return static_cast<float>(packed::half_at(b, 0) * packed::six_bits(b, i / 32, false) * code -
                                packed::half_at(b, 2) * packed::six_bits(b, i / 32, true));
  }
  throw std::logic_error("no such packing");
}

}  // namespace weir_test
