// The micro-kernel of products with packed weights: a few rows of activations against a panel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/kernels/cpu/packed_panel.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::detail {

/// Rows of quantised activations from one on, and parts of 32 from one on.
struct panel_input {
  panel_input(const quantized_rows& x, std::size_t parts, std::size_t row, std::size_t part)
      : stride(parts),
        quants(x.quants.data() + (row * parts + part) * quantized_rows::block),
        scales(x.scales.data() + row * parts + part),
        sums(x.sums.data() + (row * parts + part) * 2),
        totals(x.totals.data() + row * parts + part) {}

  std::size_t stride;  ///< parts in a row
  const std::int8_t* quants;
  const float* scales;
  const std::int16_t* sums;
  const float* totals;
};

/// The four bytes at `p` in every lane.
template <class A, class T>
simd::ints<A> broadcast_four_bytes(const T* p) {
  std::int32_t four;
  std::memcpy(&four, p, sizeof four);
  return simd::ints<A>(four);
}

/// A 16-bit number twice in 32 bits.
constexpr std::int32_t both_halves(std::int32_t x) {
  return static_cast<std::int32_t>(0x10001u * static_cast<std::uint16_t>(x));
}

/// sum[row, output] goes on over `parts` parts for Rows rows × a panel's outputs.
template <class A, class Form, std::size_t Rows>
void panel_tile(const panel_part<A>* part, std::size_t parts, const panel_input& x, float* sums) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  constexpr std::size_t groups = panel_part<A>::groups, lanes = simd::lanes<A>;
  simd::floats<A> sum[Rows][groups];
#pragma GCC unroll 8
  for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
    for (std::size_t g = 0; g < groups; ++g)
      sum[row][g] = simd::load<A>(sums + (row * groups + g) * lanes);

  for (std::size_t p = 0; p < parts; ++p, ++part) {
    ints exact[Rows][groups];
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row) {
      const ints halves = broadcast_four_bytes<A>(x.sums + (row * x.stride + p) * 2);
#pragma GCC unroll 2
      for (std::size_t g = 0; g < groups; ++g) {
        if constexpr (Form::has_steps)
          exact[row][g] = dots::dot_pairs(
              halves,
              ints::load_aligned(reinterpret_cast<const std::int32_t*>(part->bias) + g * lanes));
        else if constexpr (Form::bias != 0)
          exact[row][g] = dots::dot_pairs(halves, ints(both_halves(-Form::bias)));
        else
          exact[row][g] = ints(0);
      }
    }
    const auto add_dots = [&](ints(&to)[Rows][groups], std::size_t first, std::size_t last) {
#pragma GCC unroll 8
      for (std::size_t k = first; k < last; ++k) {
        ints codes[groups];
#pragma GCC unroll 2
        for (std::size_t g = 0; g < groups; ++g)
          codes[g] = ints::load_aligned(reinterpret_cast<const std::int32_t*>(part->codes[k][g]));
#pragma GCC unroll 8
        for (std::size_t row = 0; row < Rows; ++row) {
          const ints four = broadcast_four_bytes<A>(
              x.quants + (row * x.stride + p) * quantized_rows::block + 4 * k);
#pragma GCC unroll 2
          for (std::size_t g = 0; g < groups; ++g) {
            if constexpr (Form::is_signed)
              to[row][g] = dots::dot_signed(to[row][g], codes[g], four);
            else
              to[row][g] = dots::dot(to[row][g], codes[g], four);
          }
        }
      }
    };
    if constexpr (Form::has_steps) {
#pragma GCC unroll 2
      for (std::size_t half = 0; half < 2; ++half) {
        ints sixteen[Rows][groups];
#pragma GCC unroll 8
        for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
          for (std::size_t g = 0; g < groups; ++g) sixteen[row][g] = ints(0);
        add_dots(sixteen, 4 * half, 4 * half + 4);
#pragma GCC unroll 8
        for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
          for (std::size_t g = 0; g < groups; ++g)
            exact[row][g] =
                exact[row][g] + sixteen[row][g] * ints::load_aligned(part->steps[half] + g * lanes);
      }
    } else {
      add_dots(exact, 0, 8);
    }
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row) {
      const auto unit = simd::broadcast<A>(x.scales[row * x.stride + p]);
#pragma GCC unroll 2
      for (std::size_t g = 0; g < groups; ++g) {
        sum[row][g] = simd::fma<A>(xsimd::to_float(exact[row][g]),
                                   simd::load<A>(part->scales + g * lanes) * unit, sum[row][g]);
        if constexpr (Form::has_offset)
          sum[row][g] = simd::fma<A>(simd::load<A>(part->offsets + g * lanes),
                                     simd::broadcast<A>(x.totals[row * x.stride + p]), sum[row][g]);
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
    for (std::size_t g = 0; g < groups; ++g)
      simd::store<A>(sums + (row * groups + g) * lanes, sum[row][g]);
}

}  // namespace weir::detail

#endif
