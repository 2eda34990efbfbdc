// What kernels do to single numbers: the same operations as in a register, so the same bits as any
// lane. No register, and nothing of xsimd.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// Adding it to a number below 2^22 leaves the nearest integer in the low bits.
inline constexpr float rounder = 0x1.8p+23f;

/// The magnitude of x as bits, which compare like it, with NaN above infinity.
inline std::uint32_t magnitude_bits(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu;
}

/// The integer nearest to x · by, ties to even, which lies within ±32767. 0 if that is NaN or
/// infinite.
inline std::int16_t round_to_int16(float x, float by) {
  const auto shifted = std::bit_cast<std::uint32_t>(std::fma(x, by, rounder));
  return static_cast<std::int16_t>(shifted - std::bit_cast<std::uint32_t>(rounder));
}

namespace exp_constants {
// exp(x) = 2^n · p(r), n = round(x / ln 2), r = x − n ln 2 in two steps (Cody & Waite).
// p is minimax for relative error on |r| ≤ ln 2 / 2 with p(0) = 1 held exact, so that exp(0) is
// exactly 1 and a skipped rescale cannot change a bit. Largest relative error 2e-7.
inline constexpr float log2_e = 0x1.715476p+0f;
inline constexpr float ln2_high = 0x1.62e400p-1f, ln2_low = 0x1.7f7d1cp-20f;
inline constexpr float c1 = 0x1.fffff6p-1f, c2 = 0x1.fffdc6p-2f, c3 = 0x1.555a6ap-3f,
                       c4 = 0x1.573a54p-5f, c5 = 0x1.0fa834p-7f;
inline constexpr float lowest = -87.0f;  // below it: exactly +0
inline constexpr float highest = 88.0f;  // above it: exp(88)
}  // namespace exp_constants

/// e^x; exactly 1 at 0 and exactly +0 at −∞ (and below −87). NaN stays NaN.
inline float exp(float x) {
  using namespace exp_constants;
  if (x != x) return x;
  if (x < lowest) return 0.0f;
  const float bounded = x < highest ? x : highest;
  const float shifted = std::fma(bounded, log2_e, rounder);
  const float n = shifted - rounder;
  const float r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, bounded));
  float p = std::fma(c5, r, c4);
  p = std::fma(p, r, c3);
  p = std::fma(p, r, c2);
  p = std::fma(p, r, c1);
  p = std::fma(p, r, 1.0f);
  const auto scale = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3F800000u;
  return p * std::bit_cast<float>(scale);
}

/// Adds up `n` numbers, a power of two, by halving: lane i with lane i + n/2, until one is left.
/// `lane` is overwritten.
inline float sum_halving(float* lane, std::size_t n) {
  for (n /= 2; n > 0; n /= 2)
    for (std::size_t i = 0; i < n; ++i) lane[i] = lane[i] + lane[i + n];
  return lane[0];
}

}  // namespace weir::inline WEIR_TARGET::simd
