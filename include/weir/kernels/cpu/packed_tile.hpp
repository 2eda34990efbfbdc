// The micro-kernel of products with packed weights: a few rows of activations against a panel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_panel.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

/// Calls `f` with a height of tiles known at compile time that has room for `rows` rows, up to
/// Most. Heights are 1 and even: a tile's last row may be there twice, as every height costs all
/// who compile it.
template <std::size_t Most, class F>
void with_height(std::size_t rows, const F& f) {
  static_assert(Most % 2 == 0);
  if (rows == 1)
    f.template operator()<1>();
  else if (Most == 2 || rows > Most - 2)
    f.template operator()<Most>();
  else if constexpr (Most > 2)
    with_height<Most - 2>(rows, f);
}

/// Rows of quantised activations from one on, and parts of 32 from one on.
struct panel_input {
  panel_input(const quantized_rows& x, std::size_t parts, std::size_t row, std::size_t count,
              std::size_t part)
      : rows(count),
        stride(parts),
        last((count - 1) * parts),
        quants(x.quants.data() + (row * parts + part) * quantized_rows::block),
        scales(x.scales.data() + row * parts + part),
        sums(x.sums.data() + (row * parts + part) * 2),
        totals(x.totals.data() + row * parts + part) {}

  std::size_t rows;    ///< that are there
  std::size_t stride;  ///< parts in a row
  std::size_t last;    ///< how far the last row is from the first, in parts
  const std::int8_t* quants;
  const float* scales;
  const std::int16_t* sums;
  const float* totals;

  /// Where a part of a tile's row is, the last of which may repeat the one before.
  template <std::size_t Rows>
  [[gnu::always_inline]] std::size_t at(std::size_t row, std::size_t part) const {
    return (row == 0 || row + 1 < Rows ? row * stride : last) + part;
  }
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

/// sums[row, output] go on over `parts` parts for x's rows, Rows or one less, × a panel's outputs.
/// The groups' parts lie `spread` apart.
template <class A, class Form, std::size_t Rows>
void panel_tile(const panel_part<A>* part, std::size_t spread, std::size_t parts, std::int32_t bias,
                const panel_input& x, float* sums) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  constexpr std::size_t groups = panel_groups<A>, lanes = simd::lanes<A>;
  const auto each = [](const auto& f) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
      for (std::size_t g = 0; g < groups; ++g) f(row, g);
  };
  const auto load = [](const auto* p) {
    return ints::load_aligned(reinterpret_cast<const std::int32_t*>(p));
  };
  const auto nothing = [](std::size_t) {};
  const ints minus_bias(both_halves(-bias));
  simd::floats<A> sum[Rows][groups];
  each([&](std::size_t row, std::size_t g) {
    sum[row][g] =
        row < x.rows ? simd::load<A>(sums + (row * groups + g) * lanes) : simd::broadcast<A>(0.0f);
  });

  for (std::size_t p = 0; p < parts; ++p, ++part) {
    const auto four = [&](std::size_t row, std::size_t k) {
      return broadcast_four_bytes<A>(x.quants + x.at<Rows>(row, p) * quantized_rows::block + 4 * k);
    };
    const auto codes = [&](std::size_t g, std::size_t k) {
      return load(part[g * spread].codes[k]);
    };
    ints exact[Rows][groups];
    each([&](std::size_t row, std::size_t g) {
      const ints halves = broadcast_four_bytes<A>(x.sums + x.at<Rows>(row, p) * 2);
      if constexpr (Form::has_steps)
        exact[row][g] = dots::dot_pairs(halves, load(part[g * spread].bias));
      else if constexpr (Form::has_bias)
        exact[row][g] = dots::dot_pairs(halves, minus_bias);
      else
        exact[row][g] = ints(0);
    });
    if constexpr (Form::has_steps) {
      const auto add_half = [&]<std::size_t Half>() {
        ints sixteen[Rows][groups];
        each([&](std::size_t row, std::size_t g) { sixteen[row][g] = ints(0); });
        add_dots<A, Form, 4 * Half, 4 * Half + 4>(sixteen, codes, four, nothing);
        each([&](std::size_t row, std::size_t g) {
          exact[row][g] = exact[row][g] + sixteen[row][g] * load(part[g * spread].steps[Half]);
        });
      };
      add_half.template operator()<0>();
      add_half.template operator()<1>();
    } else {
      add_dots<A, Form, 0, 8>(exact, codes, four, nothing);
    }
    each([&](std::size_t row, std::size_t g) {
      const std::size_t at = x.at<Rows>(row, p);
      const simd::floats<A> scale = simd::load<A>(part[g * spread].scales);
      sum[row][g] = simd::fma<A>(xsimd::to_float(exact[row][g]),
                                 scale * simd::broadcast<A>(x.scales[at]), sum[row][g]);
      if constexpr (Form::has_offset)
        sum[row][g] = simd::fma<A>(simd::load<A>(part[g * spread].offsets),
                                   simd::broadcast<A>(x.totals[at]), sum[row][g]);
    });
  }
  each([&](std::size_t row, std::size_t g) {
    if (row < x.rows) simd::store<A>(sums + (row * groups + g) * lanes, sum[row][g]);
  });
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
