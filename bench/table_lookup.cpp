// Table lookup against products of bytes, for one row of activations and weights of 4 or 2 bits:
//   table_lookup
//
// Products: codes in columns of eight rows, multiplied by `maddubs` and added up in 16 bits, as
// products with repacked weights are. Lookup, as T-MAC has it: a weight's bits are taken apart, and
// one bit of four neighbouring weights is a place in a table of the 16 sums of four activations,
// found by `pshufb`. Tables hold exact sums, in two bytes of 5 bits and the rest, so that sums over
// 32 weights stay in bytes; both give the same bits. Weights lie in the second cache, one thread.
// The time that tables take to make, once for all rows of weights, is left out.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <weir/simd/simd.hpp>
#include "support/random.hpp"
#include "support/timing.hpp"

#if defined(__AVX2__) && defined(__F16C__) && defined(__FMA__)

namespace weir_bench {
namespace {

constexpr std::size_t rows = 256, cols = 4096, part = 32, parts = cols / part;

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
__m256i twice(const void* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}

/// Random weights of `Bits` bits with a scale for each 32, and activations of 8 bits.
template <int Bits>
struct problem {
  std::vector<std::uint8_t> code = std::vector<std::uint8_t>(rows * cols);
  std::vector<weir::f16> scale = std::vector<weir::f16>(parts * rows);  ///< [part, row]
  std::vector<std::int8_t> x = std::vector<std::int8_t>(cols);
  std::vector<float> unit = std::vector<float>(parts, 0.01f);
  std::vector<std::int16_t> start = std::vector<std::int16_t>(parts);  ///< −bias · Σ x
  std::vector<std::uint8_t> columns, planes;
  static constexpr std::size_t bytes = rows * cols * Bits / 8;

  problem() : columns(bytes), planes(bytes) {
    const auto random = normal_floats(rows * cols, 40, 1);
    for (std::size_t i = 0; i < code.size(); ++i)
      code[i] = static_cast<std::uint8_t>(static_cast<int>(random[i] + 1000) & ((1 << Bits) - 1));
    for (std::size_t i = 0; i < scale.size(); ++i)
      scale[i] = weir::round_to<weir::f16>(random[i] / 100);
    for (std::size_t k = 0; k < cols; ++k)
      x[k] = static_cast<std::int8_t>(std::clamp(random[k + 7], -127.0f, 127.0f));
    for (std::size_t k = 0; k < cols; ++k)
      start[k / part] = static_cast<std::int16_t>(start[k / part] - (1 << (Bits - 1)) * x[k]);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t k = 0; k < cols; ++k) {
        const std::size_t p = k / part, quad = k % part / 4;
        const unsigned c = code[r * cols + k];
        // Products: [8 rows, part, register, row, 4]; a byte's fields are `Bits` quads apart.
        columns[((r / 8 * parts + p) * Bits + quad % Bits) * 32 + r % 8 * 4 + k % 4] |=
            static_cast<std::uint8_t>(c << quad / Bits * Bits);
        // Lookup: [32 rows, part, quad, pair of bits, row]; a half of a byte for each bit.
        for (unsigned b = 0; b < Bits; ++b)
          planes[((r / 32 * parts + p) * 8 + quad) * (Bits / 2) * 32 + b / 2 * 32 + r % 32] |=
              static_cast<std::uint8_t>((c >> b & 1u) << (b % 2 * 4 + k % 4));
      }
  }
  __m256 scales(std::size_t p, std::size_t row) const {
    return _mm256_cvtph_ps(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(&scale[p * rows + row])));
  }
};

__m256 go_on(__m256 sum, __m256i exact, __m256 scale, float unit) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), _mm256_mul_ps(scale, _mm256_set1_ps(unit)),
                         sum);
}

template <int Bits>
void by_products(const problem<Bits>& in, float* y) {
  const __m256i mask = _mm256_set1_epi8((1 << Bits) - 1);
  const std::uint8_t* at = in.columns.data();
  for (std::size_t r = 0; r < rows; r += 8) {
    __m256 sum = _mm256_setzero_ps();
    for (std::size_t p = 0; p < parts; ++p) {
      const auto quad = [&](std::size_t q) {
        std::int32_t four;
        std::memcpy(&four, &in.x[p * part + 4 * q], 4);
        return _mm256_set1_epi32(four);
      };
      __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (std::size_t i = 0; i < Bits; ++i, at += 32)
#pragma GCC unroll 4
        for (std::size_t f = 0; f < 8 / Bits; ++f) {
          const __m256i codes =
              _mm256_and_si256(_mm256_srli_epi16(load(at), static_cast<int>(f) * Bits), mask);
          pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes, quad(f * Bits + i)));
        }
      const __m256i exact = _mm256_add_epi32(_mm256_set1_epi32(in.start[p]),
                                             _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      sum = go_on(sum, exact, in.scales(p, r), in.unit[p]);
    }
    _mm256_storeu_ps(y + r, sum);
  }
}

/// Of each four activations the sums of all subsets, as 32 · upper + lower.
struct tables {
  struct table {
    std::uint8_t lower[16];
    std::int8_t upper[16];
  };
  std::array<table, cols / 4> of;

  explicit tables(const std::vector<std::int8_t>& x) {
    for (std::size_t q = 0; q < of.size(); ++q)
      for (unsigned m = 0; m < 16; ++m) {
        int sum = 0;
        for (unsigned i = 0; i < 4; ++i) sum += (m >> i & 1u) != 0 ? x[4 * q + i] : 0;
        of[q].lower[m] = static_cast<std::uint8_t>(sum & 31);
        of[q].upper[m] = static_cast<std::int8_t>(sum >> 5);
      }
  }
};

template <int Bits>
void by_lookup(const problem<Bits>& in, const tables& t, float* y) {
  const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
  const std::uint8_t* at = in.planes.data();
  for (std::size_t r = 0; r < rows; r += 32) {
    __m256 sum[4] = {};
    for (std::size_t p = 0; p < parts; ++p) {
      __m256i lower[Bits], upper[Bits];
#pragma GCC unroll 8
      for (std::size_t q = 0; q < 8; ++q) {
        const auto& table = t.of[p * 8 + q];
        const __m256i low = twice(table.lower), up = twice(table.upper);
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Bits; ++b) {
          const __m256i two = load(at + b / 2 * 32),
                        place = _mm256_and_si256(b % 2 ? _mm256_srli_epi16(two, 4) : two, nibble);
          const __m256i l = _mm256_shuffle_epi8(low, place), u = _mm256_shuffle_epi8(up, place);
          lower[b] = q == 0 ? l : _mm256_add_epi8(lower[b], l);
          upper[b] = q == 0 ? u : _mm256_add_epi8(upper[b], u);
        }
        at += Bits / 2 * 32;
      }
      // 16 bits: rows 0 … 7 and 16 … 23, then the others.
      __m256i whole[2] = {_mm256_set1_epi16(in.start[p]), _mm256_set1_epi16(in.start[p])};
#pragma GCC unroll 4
      for (std::size_t b = 0; b < Bits; ++b) {
        const auto add = [&](__m256i& to, __m256i l, __m256i u) {
          to = _mm256_add_epi16(to, _mm256_slli_epi16(_mm256_add_epi16(l, _mm256_srai_epi16(u, 3)),
                                                      static_cast<int>(b)));
        };
        add(whole[0], _mm256_unpacklo_epi8(lower[b], zero), _mm256_unpacklo_epi8(zero, upper[b]));
        add(whole[1], _mm256_unpackhi_epi8(lower[b], zero), _mm256_unpackhi_epi8(zero, upper[b]));
      }
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        const __m256i from = whole[i % 2];
        const __m128i eight =
            i < 2 ? _mm256_castsi256_si128(from) : _mm256_extracti128_si256(from, 1);
        sum[i] = go_on(sum[i], _mm256_cvtepi16_epi32(eight), in.scales(p, r + 8 * i), in.unit[p]);
      }
    }
    for (std::size_t i = 0; i < 4; ++i) _mm256_storeu_ps(y + r + 8 * i, sum[i]);
  }
}

template <int Bits>
bool compare() {
  const problem<Bits> in;
  const tables t(in.x);
  std::vector<float> y(rows), z(rows);
  double products = 1, lookup = 1;
  for (int round = 0; round < 400; ++round) {
    products = std::min(products, seconds_of([&] { by_products<Bits>(in, y.data()); }));
    lookup = std::min(lookup, seconds_of([&] { by_lookup<Bits>(in, t, z.data()); }));
  }
  const auto speed = [](double seconds) { return double{rows * cols} / seconds / 1e9; };
  std::printf("%d bits: products %.1f, lookup %.1f weights/ns\n", Bits, speed(products),
              speed(lookup));
  return y == z;
}

}  // namespace
}  // namespace weir_bench

int main() {
  if (weir_bench::compare<4>() && weir_bench::compare<2>()) return 0;
  std::fprintf(stderr, "table_lookup: sums differ\n");
  return 1;
}

#else

int main() {
  std::puts("table_lookup: compiled for a processor without AVX2");
  return 0;
}

#endif
