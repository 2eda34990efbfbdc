// The codes of packed weights as columns: four codes of each of several rows side by side. Whole
// bytes change places first, and are taken apart then, in fewer and wider registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::detail {

/// 16 bytes at each of `lanes<A>` addresses: out[j] has the j-th four bytes of row r in lane r.
template <class A, class Address>
[[gnu::always_inline]] inline void short_columns(const Address& address, simd::ints<A>* out) {
  __m256i eight[simd::lanes<A> / 8][4];
#pragma GCC unroll 2
  for (std::size_t i = 0; i < simd::lanes<A> / 8; ++i)
    eight_columns([&](std::size_t r) -> const void* { return address(8 * i + r); }, eight[i]);
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    if constexpr (simd::lanes<A> == 8)
      out[j] = simd::ints<A>(eight[0][j]);
    else
      out[j] =
          simd::ints<A>(_mm512_inserti64x4(_mm512_castsi256_si512(eight[0][j]), eight[1][j], 1));
  }
}

/// 32 bytes at each address: the same with eight times four bytes.
template <class A, class Address>
[[gnu::always_inline]] inline void long_columns(const Address& address, simd::ints<A> (&out)[8]) {
  __m256i rows[simd::lanes<A>];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < simd::lanes<A>; ++r) rows[r] = load_256(address(r));
  simd::byte_dots<A>::transpose(rows, out);
}

/// The same number in all four bytes of a lane.
template <class A>
simd::ints<A> in_each_byte(std::uint32_t x) {
  return simd::ints<A>(static_cast<std::int32_t>(0x01010101u * x));
}

/// The lower halves of bytes, or the upper ones.
template <class A>
simd::ints<A> nibbles(simd::ints<A> bytes, bool upper) {
  return (upper ? bytes >> 4 : bytes) & in_each_byte<A>(15);
}

/// `bytes` moved to the left, or to the right if `by` is negative; `mask` says what stays of each.
template <class A>
simd::ints<A> moved_bits(simd::ints<A> bytes, int by, std::uint32_t mask) {
  return (by >= 0 ? bytes << by : bytes >> -by) & in_each_byte<A>(mask);
}

/// One block of each of `lanes<A>` rows, which `block(row)` returns. Parts are asked for in rising
/// order: `take(part, out)` puts codes 4 k … 4 k + 3 of row r into lane r of out[k].
template <class A, class Block>
class packed_columns;

/// Bytes. Codes where integer products take them, else signed numbers.
template <class A>
class packed_columns<A, q8_0_block> {
 public:
  template <class At>
  [[gnu::always_inline]] void take(const At& block, std::size_t, simd::ints<A> (&out)[8]) {
    long_columns<A>([&](std::size_t r) { return block(r).quants; }, out);
    if constexpr (q8_0_block::bias < simd::byte_dots<A>::code_end)
      for (auto& column : out) column = column ^ in_each_byte<A>(0x80);
  }
};

/// Halves of 16 bytes, and perhaps fifth bits.
template <class A, class Block>
  requires(Block::size == 32 && Block::bias < 128)
class packed_columns<A, Block> {
 public:
  template <class At>
  [[gnu::always_inline]] void take(const At& block, std::size_t, simd::ints<A> (&out)[8]) {
    simd::ints<A> both[4];
    short_columns<A>([&](std::size_t r) { return block(r).low; }, both);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) out[k] = nibbles<A>(both[k % 4], k >= 4);
    if constexpr (requires { block(0).high; }) {
      alignas(64) std::int32_t bits[simd::lanes<A>];
#pragma GCC unroll 16
      for (std::size_t r = 0; r < simd::lanes<A>; ++r)
        std::memcpy(&bits[r], block(r).high, sizeof bits[r]);
      const auto fifth = simd::ints<A>::load_aligned(bits);
      // Four bits, one below the other, times this are one in each byte.
      const simd::ints<A> spread(0x00204081 << 4);
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 8; ++k) {
        const simd::ints<A> four = (fifth >> static_cast<int>(4 * k)) & simd::ints<A>(15);
        out[k] = out[k] | ((four * spread) & in_each_byte<A>(16));
      }
    }
  }
};

/// Halves of 32 bytes that two parts share, and perhaps bits that all do.
template <class A, class Block>
  requires(Block::size == 256 && Block::steps == 1)
class packed_columns<A, Block> {
 public:
  template <class At>
  [[gnu::always_inline]] void take(const At& block, std::size_t part, simd::ints<A> (&out)[8]) {
    constexpr bool five = requires { block(0).high; };
    if constexpr (five)
      if (part == 0) long_columns<A>([&](std::size_t r) { return block(r).high; }, high_);
    if (part % 2 == 0)
      long_columns<A>([&](std::size_t r) { return block(r).low + part / 2 * 32; }, both_);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) {
      out[k] = nibbles<A>(both_[k], part % 2 != 0);
      if constexpr (five) out[k] = out[k] | moved_bits<A>(high_[k], 4 - static_cast<int>(part), 16);
    }
  }

 private:
  simd::ints<A> both_[8], high_[8];
};

/// Halves of 2 · 32 bytes and pairs of bits that four parts share.
template <class A>
class packed_columns<A, q6_k_block> {
 public:
  template <class At>
  [[gnu::always_inline]] void take(const At& block, std::size_t part, simd::ints<A> (&out)[8]) {
    const std::size_t half = part / 4, quarter = part % 4;
    if (quarter == 0)
      long_columns<A>([&](std::size_t r) { return block(r).high + 32 * half; }, high_);
    if (quarter < 2)
      long_columns<A>([&](std::size_t r) { return block(r).low + 64 * half + 32 * quarter; },
                      both_[quarter]);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k)
      out[k] = nibbles<A>(both_[quarter % 2][k], quarter >= 2) |
               moved_bits<A>(high_[k], 4 - 2 * static_cast<int>(quarter), 0x30);
  }

 private:
  simd::ints<A> both_[2][8], high_[8];
};

}  // namespace weir::detail

#endif
