// Counter-based randomness, a register at a time: core/philox.hpp's numbers, lane by lane.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <weir/core/target.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/log2.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

/// One register of 64-bit numbers. Philox works in their lower halves.
template <class A>
using longs = xsimd::batch<std::uint64_t, A>;

/// Products of the lower halves of 64-bit lanes.
template <class A>
inline longs<A> multiply_lower(longs<A> a, longs<A> b) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16) return longs<A>(_mm512_mul_epu32(a, b));
#endif
#if defined(__AVX2__)
  if constexpr (lanes<A> == 8) return longs<A>(_mm256_mul_epu32(a, b));
#endif
#if defined(__SSE2__)
  if constexpr (lanes<A> == 4) return longs<A>(_mm_mul_epu32(a, b));
#endif
  std::uint64_t x[longs<A>::size], y[longs<A>::size];
  a.store_unaligned(x);
  b.store_unaligned(y);
  for (std::size_t i = 0; i < longs<A>::size; ++i) x[i] = (x[i] & 0xFFFFFFFF) * (y[i] & 0xFFFFFFFF);
  return longs<A>::load_unaligned(x);
}

/// The lower halves of 64-bit lanes: those of `a`, then those of `b`.
template <class A>
inline ints<A> lower_halves(longs<A> a, longs<A> b) {
#if defined(__AVX512F__)
  if constexpr (lanes<A> == 16)
    return ints<A>(_mm512_permutex2var_epi32(
        a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b));
#endif
#if defined(__AVX2__)
  if constexpr (lanes<A> == 8)
    return ints<A>(
        _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(
                                     _mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88)),
                                 0xD8));
#endif
#if defined(__SSE2__)
  if constexpr (lanes<A> == 4)
    return ints<A>(
        _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0x88)));
#endif
  std::uint64_t x[lanes<A>];
  a.store_unaligned(x);
  b.store_unaligned(x + longs<A>::size);
  std::int32_t low[lanes<A>];
  for (std::size_t i = 0; i < lanes<A>; ++i)
    low[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(x[i]));
  return ints<A>::load_unaligned(low);
}

/// A Philox key, as its rounds want it.
template <int Rounds = 10>
struct philox_key {
  std::uint64_t round[std::size_t{Rounds}][2];

  explicit constexpr philox_key(std::array<std::uint32_t, 2> key) {
    for (auto& words : round) {
      words[0] = key[0], words[1] = key[1];
      key[0] += 0x9E3779B9;
      key[1] += 0xBB67AE85;
    }
  }
};

/// Word w of philox<Rounds>({low(i), high(i), c, d}, key) for each of `lanes<A>` numbers i, in
/// out[w]. In a loop it has to be in line, or words travel through memory.
template <class A, int Rounds>
[[gnu::always_inline]] inline void philox(const std::uint64_t* i, std::uint32_t c, std::uint32_t d,
                                          const philox_key<Rounds>& key, ints<A> (&out)[4]) {
  longs<A> word[2][4];
  for (std::size_t half = 0; half < 2; ++half) {
    word[half][0] = longs<A>::load_unaligned(i + half * longs<A>::size);
    word[half][1] = word[half][0] >> 32;
    word[half][2] = longs<A>(std::uint64_t{c});
    word[half][3] = longs<A>(std::uint64_t{d});
  }
  // Upper halves hold rubbish throughout: products do not read them, and shifts push them out.
  for (const auto& words : key.round)
    for (longs<A>(&x)[4] : word) {
      const longs<A> a = multiply_lower<A>(x[0], longs<A>(std::uint64_t{0xD2511F53}));
      const longs<A> b = multiply_lower<A>(x[2], longs<A>(std::uint64_t{0xCD9E8D57}));
      x[0] = (b >> 32) ^ x[1] ^ longs<A>(words[0]);
      x[1] = b;
      x[2] = (a >> 32) ^ x[3] ^ longs<A>(words[1]);
      x[3] = a;
    }
  for (std::size_t w = 0; w < 4; ++w) out[w] = lower_halves<A>(word[0][w], word[1][w]);
}

/// Uniform on (0, 1): the middles of 2^23 equal parts, by the upper bits.
template <class A>
inline floats<A> open_uniform(ints<A> bits) {
  const auto upper = bits_as<xsimd::batch<std::uint32_t, A>>(bits) >> 9;
  const auto one_to_two = upper | xsimd::batch<std::uint32_t, A>(0x3F800000u);
  return bits_as<floats<A>>(one_to_two) - broadcast<A>(1 - 0x1p-24f);
}

/// Gumbel noise in bits: −log2(−log2 u). Times ln 2 it is a draw from the standard Gumbel
/// distribution less −ln ln 2, which a softmax does not see.
template <class A, std::size_t Registers>
inline void gumbel_bits(const ints<A> (&bits)[Registers], floats<A> (&out)[Registers]) {
  const auto zero = broadcast<A>(0.0f);
  for (std::size_t i = 0; i < Registers; ++i) out[i] = open_uniform<A>(bits[i]);
  log2<A>(out);
  for (floats<A>& x : out) x = zero - x;
  log2<A>(out);
  for (floats<A>& x : out) x = zero - x;
}

/// The same functions for one value: the same operations, so the same bits as any lane.
inline float open_uniform(std::uint32_t bits) {
  return std::bit_cast<float>(bits >> 9 | 0x3F800000u) - (1 - 0x1p-24f);
}
inline float gumbel_bits(std::uint32_t bits) { return -log2(-log2(open_uniform(bits))); }

}  // namespace weir::inline WEIR_TARGET::simd
