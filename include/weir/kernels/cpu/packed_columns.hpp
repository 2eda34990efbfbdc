// The codes of packed weights as columns: four codes of each of several rows side by side. Whole
// bytes change places first, and are taken apart then, in fewer and wider registers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

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

/// Columns of rows that lie apart: `block(row)` returns one row's.
template <class A, class At>
class columns_apart {
 public:
  [[gnu::always_inline]] explicit columns_apart(const At& block) : block_(block) {}

  /// The four bytes at an offset of each block.
  [[gnu::always_inline]] simd::ints<A> one(std::size_t offset) const {
    alignas(64) std::int32_t bytes[simd::lanes<A>];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < simd::lanes<A>; ++r)
      std::memcpy(&bytes[r], at(r, offset), sizeof bytes[r]);
    return simd::ints<A>::load_aligned(bytes);
  }
  /// The 16 bytes there, in fours.
  [[gnu::always_inline]] void four(std::size_t offset, simd::ints<A>* out) const {
    short_columns<A>([&](std::size_t r) { return at(r, offset); }, out);
  }
  /// The 32 bytes there.
  [[gnu::always_inline]] void eight(std::size_t offset, simd::ints<A> (&out)[8]) const {
    long_columns<A>([&](std::size_t r) { return at(r, offset); }, out);
  }

 private:
  [[gnu::always_inline]] const std::byte* at(std::size_t row, std::size_t offset) const {
    return reinterpret_cast<const std::byte*>(&block_(row)) + offset;
  }
  const At& block_;
};

/// Those of a panel, from row `first` on: they are there.
template <class A>
class columns_in_panel {
 public:
  columns_in_panel(const void* panel, std::size_t first)
      : panel_(static_cast<const std::byte*>(panel)), first_(first) {}

  simd::ints<A> one(std::size_t offset) const {
    const std::byte* const p = panel_ + panel_offset(offset, 4, first_);
    return simd::ints<A>::load_unaligned(reinterpret_cast<const std::int32_t*>(p));
  }
  void four(std::size_t offset, simd::ints<A>* out) const {
#pragma GCC unroll 4
    for (std::size_t k = 0; k < 4; ++k) out[k] = one(offset + 4 * k);
  }
  void eight(std::size_t offset, simd::ints<A> (&out)[8]) const {
    four(offset, out);
    four(offset + 16, out + 4);
  }

 private:
  const std::byte* panel_;
  std::size_t first_;
};

/// One block of each of `lanes<A>` rows. `period` parts are taken alike, round by round: behind
/// `begin(rows)`, `take(rows, round, p, out)` puts codes 4 k … 4 k + 3 of row r, of part
/// period · round + p, into lane r of out[k].
template <class A, class Block>
class packed_columns;

/// Bytes. Codes where integer products take them, else signed numbers.
template <class A>
class packed_columns<A, q8_0_block> {
 public:
  static constexpr std::size_t period = 1;

  template <class Rows>
  void begin(const Rows&) {}
  template <class Rows>
  [[gnu::always_inline]] void take(const Rows& rows, std::size_t, std::size_t,
                                   simd::ints<A> (&out)[8]) {
    rows.eight(offsetof(q8_0_block, quants), out);
    if constexpr (q8_0_block::bias < simd::byte_dots<A>::code_end)
      for (auto& column : out) column = column ^ in_each_byte<A>(0x80);
  }
};

/// Halves of 16 bytes, and perhaps fifth bits.
template <class A, class Block>
  requires(Block::size == 32 && Block::bias < 128)
class packed_columns<A, Block> {
 public:
  static constexpr std::size_t period = 1;

  template <class Rows>
  void begin(const Rows&) {}
  template <class Rows>
  [[gnu::always_inline]] void take(const Rows& rows, std::size_t, std::size_t,
                                   simd::ints<A> (&out)[8]) {
    simd::ints<A> both[4];
    rows.four(offsetof(Block, low), both);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) out[k] = nibbles<A>(both[k % 4], k >= 4);
    if constexpr (requires { &Block::high; }) {
      const simd::ints<A> fifth = rows.one(offsetof(Block, high));
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
  static constexpr std::size_t period = 2;

  template <class Rows>
  [[gnu::always_inline]] void begin(const Rows& rows) {
    if constexpr (five) rows.eight(offsetof(Block, high), high_);
  }
  template <class Rows>
  [[gnu::always_inline]] void take(const Rows& rows, std::size_t round, std::size_t p,
                                   simd::ints<A> (&out)[8]) {
    if (p == 0) rows.eight(offsetof(Block, low) + round * 32, both_);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k) {
      out[k] = nibbles<A>(both_[k], p != 0);
      if constexpr (five) {
        out[k] = out[k] | ((high_[k] & in_each_byte<A>(1)) << 4);
        high_[k] = high_[k] >> 1;
      }
    }
  }

 private:
  static constexpr bool five = requires { &Block::high; };
  simd::ints<A> both_[8], high_[8];
};

/// Halves of 2 · 32 bytes and pairs of bits that four parts share.
template <class A>
class packed_columns<A, q6_k_block> {
 public:
  static constexpr std::size_t period = 4;

  template <class Rows>
  void begin(const Rows&) {}
  template <class Rows>
  [[gnu::always_inline]] void take(const Rows& rows, std::size_t half, std::size_t quarter,
                                   simd::ints<A> (&out)[8]) {
    if (quarter == 0) rows.eight(offsetof(q6_k_block, high) + 32 * half, high_);
    if (quarter < 2)
      rows.eight(offsetof(q6_k_block, low) + 64 * half + 32 * quarter, both_[quarter]);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < 8; ++k)
      out[k] = nibbles<A>(both_[quarter % 2][k], quarter >= 2) |
               moved_bits<A>(high_[k], 4 - 2 * static_cast<int>(quarter), 0x30);
  }

 private:
  simd::ints<A> both_[2][8], high_[8];
};

}  // namespace weir::inline WEIR_TARGET::detail

#endif
