// One number a row, for several rows of 16 lanes or fewer at once: rows are folded into each other
// while they shrink, so that most additions work on whole registers.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// Numbers that R rows need in memory to be read as registers.
template <class A, std::size_t R>
inline constexpr std::size_t row_numbers = std::max(R, lanes<A>);

namespace detail {

#if defined(__AVX512F__)

/// Row r of R ∈ {4, 8}, reduced to lane r. Each step puts the upper halves of all rows on their
/// lower halves: 16 lanes to 8, 4, 2, 1.
template <std::size_t R, class A, class Op>
inline __m512 reduce_rows(const floats<A>* x, Op op) {
  const auto fold = [op](__m512 a, __m512 b) -> __m512 { return op(floats<A>(a), floats<A>(b)); };
  __m512 quarters[R / 4];  // 4 lanes of 4 rows
  for (std::size_t i = 0; i < R / 4; ++i) {
    __m512 halves[2];  // 8 lanes of 2 rows
    for (std::size_t j = 0; j < 2; ++j) {
      const __m512 a = x[4 * i + 2 * j], b = x[4 * i + 2 * j + 1];
      halves[j] = fold(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
    }
    quarters[i] = fold(_mm512_shuffle_f32x4(halves[0], halves[1], 0x88),
                       _mm512_shuffle_f32x4(halves[0], halves[1], 0xDD));
  }
  const __m512 first = quarters[0], last = quarters[R / 4 - 1];
  const __m512 pairs = fold(_mm512_shuffle_ps(first, last, 0x44),  // 2 lanes of rows r, r + R − 4
                            _mm512_shuffle_ps(first, last, 0xEE));
  const __m512 ones = fold(pairs, _mm512_permute_ps(pairs, 0xB1));
  return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0),
                               ones);
}

#endif

/// out[r] = `op` over the lanes of x[r] by halving, `one` for one register.
template <class A, std::size_t R, class Op, class One>
inline void reduce_rows(const floats<A> (&x)[R], float* out, [[maybe_unused]] Op op, One one) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16 && R <= 8) {
    constexpr std::size_t n = R <= 4 ? 4 : 8;
    floats<A> rows[n];
    for (std::size_t r = 0; r < n; ++r) rows[r] = x[std::min(r, R - 1)];
    store<A>(out, floats<A>(reduce_rows<n, A>(rows, op)));
    return;
  }
#endif
  for (std::size_t r = 0; r < R; ++r) out[r] = one(x[r]);
}

}  // namespace detail

/// out[r] = sum_halving(x[r]): the same bits. `out` has row_numbers<A, R>.
template <class A, std::size_t R>
inline void sum_rows(const floats<A> (&x)[R], float* out) {
  detail::reduce_rows<A>(
      x, out, [](floats<A> a, floats<A> b) { return a + b; },
      [](floats<A> row) { return sum_halving<A>(row); });
}

/// out[r] = max_lane(x[r]). `out` has row_numbers<A, R>.
template <class A, std::size_t R>
inline void max_rows(const floats<A> (&x)[R], float* out) {
  detail::reduce_rows<A>(
      x, out, [](floats<A> a, floats<A> b) { return max<A>(a, b); },
      [](floats<A> row) { return max_lane<A>(row); });
}

/// Lane by lane the larger magnitude, NaN above infinity; `a` is one already.
template <class A>
inline floats<A> larger_magnitude(floats<A> a, floats<A> b) {
  using bits = xsimd::batch<std::int32_t, A>;
  const auto magnitude = bits_as<bits>(b) & bits(0x7FFFFFFF);
  return bits_as<floats<A>>(xsimd::max(bits_as<bits>(a), magnitude));
}

/// out[r] = the largest of the magnitudes in x[r], NaN above infinity. `out` has row_numbers<A, R>.
template <class A, std::size_t R>
inline void largest_magnitudes(const floats<A> (&x)[R], float* out) {
  detail::reduce_rows<A>(
      x, out, [](floats<A> a, floats<A> b) { return larger_magnitude<A>(a, b); },
      [](floats<A> row) {
        std::int32_t lane[lanes<A>];
        bits_as<xsimd::batch<std::int32_t, A>>(row).store_unaligned(lane);
        return std::bit_cast<float>(*std::max_element(lane, lane + lanes<A>));
      });
}

}  // namespace weir::inline WEIR_TARGET::simd
