// Packed weights in registers: the codes of one part, and what eight blocks hold side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/target.hpp>
#include <weir/kernels/weight_blocks.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

/// Codes, bias not taken off, are below it.
template <class Block>
inline constexpr std::int32_t code_end = Block::bias == 128           ? 256
                                         : Block::steps == 2          ? 64
                                         : requires { &Block::high; } ? 32
                                                                      : 16;

// ---- the 32 codes of a part, bias not taken off ------------------------------------------------

inline __m256i load_256(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

inline void store_256(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }

/// 16 bytes: their lower halves, then their upper ones.
inline __m256i nibbles_of_16(const std::uint8_t* p) {
  const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i wide =
      _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
  return _mm256_and_si256(wide, _mm256_set1_epi8(15));
}

/// The lower halves of 32 bytes, or the upper ones.
inline __m256i nibbles_of_32(const std::uint8_t* p, bool upper) {
  const __m256i both = load_256(p);
  return _mm256_and_si256(upper ? _mm256_srli_epi16(both, 4) : both, _mm256_set1_epi8(15));
}

/// Byte i is 16 where bit i of the 32 is set.
inline __m256i fifth_bits(const std::uint8_t* p) {
  std::int32_t bits;
  std::memcpy(&bits, p, sizeof bits);
  const __m256i byte_of =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<std::int64_t>(0x8040201008040201u));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

inline __m256i load_codes(const q4_0_block& w, std::size_t) { return nibbles_of_16(w.low); }
inline __m256i load_codes(const q4_1_block& w, std::size_t) { return nibbles_of_16(w.low); }
inline __m256i load_codes(const q5_0_block& w, std::size_t) {
  return _mm256_or_si256(nibbles_of_16(w.low), fifth_bits(w.high));
}
inline __m256i load_codes(const q5_1_block& w, std::size_t) {
  return _mm256_or_si256(nibbles_of_16(w.low), fifth_bits(w.high));
}
inline __m256i load_codes(const q4_k_block& w, std::size_t part) {
  return nibbles_of_32(w.low + part / 2 * 32, part % 2 != 0);
}
inline __m256i load_codes(const q5_k_block& w, std::size_t part) {
  // The last four parts' bits are brought to where those of the first four are: four shifts remain.
  const __m256i four =
      _mm256_srl_epi16(load_256(w.high), _mm_cvtsi32_si128(static_cast<int>(part / 4 * 4)));
  const __m256i fifth = _mm256_slli_epi16(four, 4 - static_cast<int>(part % 4));
  return _mm256_or_si256(nibbles_of_32(w.low + part / 2 * 32, part % 2 != 0),
                         _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
}
inline __m256i load_codes(const q6_k_block& w, std::size_t part) {
  const std::size_t half = part / 4, quarter = part % 4;
  const __m256i low = nibbles_of_32(w.low + 64 * half + 32 * (quarter % 2), quarter >= 2);
  const __m256i bits = load_256(w.high + 32 * half);
  const int left = 4 - 2 * static_cast<int>(quarter);  // from where the two are to bits 4 and 5
  const __m256i two = left >= 0 ? _mm256_slli_epi16(bits, left) : _mm256_srli_epi16(bits, -left);
  return _mm256_or_si256(low, _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
}

// ---- one block in each of eight weight rows, a row in each lane ---------------------------------

/// 16 bytes at each of eight addresses: out[j] has the j-th four bytes of row r in lane r.
template <class Address>
[[gnu::always_inline]] inline void eight_columns(const Address& address, __m256i (&out)[4]) {
  __m256i both[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i)
    both[i] = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(address(i)))),
        _mm_loadu_si128(static_cast<const __m128i*>(address(i + 4))), 1);
  const __m256i a = _mm256_unpacklo_epi32(both[0], both[1]);
  const __m256i b = _mm256_unpackhi_epi32(both[0], both[1]);
  const __m256i c = _mm256_unpacklo_epi32(both[2], both[3]);
  const __m256i d = _mm256_unpackhi_epi32(both[2], both[3]);
  out[0] = _mm256_unpacklo_epi64(a, c);
  out[1] = _mm256_unpackhi_epi64(a, c);
  out[2] = _mm256_unpacklo_epi64(b, d);
  out[3] = _mm256_unpackhi_epi64(b, d);
}

/// Blocks that lie apart: `block(row)` returns one row's.
template <class At>
class blocks_apart {
 public:
  [[gnu::always_inline]] explicit blocks_apart(const At& block) : block_(block) {}

  /// The f16 numbers at an offset of each, as f32.
  [[gnu::always_inline]] __m256 halves(std::size_t offset) const {
    const auto bits = [&](std::size_t row) {
      std::int16_t x;
      std::memcpy(&x, at(row, offset), sizeof x);
      return x;
    };
    const auto four = [&](std::size_t row) {
      __m128i x = _mm_cvtsi32_si128(bits(row));
      x = _mm_insert_epi16(x, bits(row + 1), 1);
      x = _mm_insert_epi16(x, bits(row + 2), 2);
      return _mm_insert_epi16(x, bits(row + 3), 3);
    };
    return _mm256_cvtph_ps(_mm_unpacklo_epi64(four(0), four(4)));
  }
  /// The four bytes there.
  [[gnu::always_inline]] __m256i dwords(std::size_t offset) const {
    const auto four = [&](std::size_t row) {
      std::int32_t x;
      std::memcpy(&x, at(row, offset), sizeof x);
      return x;
    };
    return _mm256_setr_epi32(four(0), four(1), four(2), four(3), four(4), four(5), four(6),
                             four(7));
  }
  /// The 16 bytes there, in fours.
  [[gnu::always_inline]] void columns(std::size_t offset, __m256i (&out)[4]) const {
    eight_columns([&](std::size_t row) { return static_cast<const void*>(at(row, offset)); }, out);
  }

 private:
  [[gnu::always_inline]] const std::byte* at(std::size_t row, std::size_t offset) const {
    return reinterpret_cast<const std::byte*>(&block_(row)) + offset;
  }
  const At& block_;
};

/// Blocks of a panel, from row `first` on.
class blocks_in_panel {
 public:
  blocks_in_panel(const void* panel, std::size_t first)
      : panel_(static_cast<const std::byte*>(panel)), first_(first) {}

  __m256 halves(std::size_t offset) const {
    const std::byte* const p = panel_ + panel_offset(offset, 2, first_);
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  __m256i dwords(std::size_t offset) const {
    return load_256(panel_ + panel_offset(offset, 4, first_));
  }
  void columns(std::size_t offset, __m256i (&out)[4]) const {
    for (std::size_t i = 0; i < 4; ++i) out[i] = dwords(offset + 4 * i);
  }

 private:
  const std::byte* panel_;
  std::size_t first_;
};

/// Eight pairs of f16, one pair in each lane, as f32.
inline void split_halves(__m256i pairs, __m256& first, __m256& second) {
  const __m256i low = _mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF));
  const __m256i packed =
      _mm256_permute4x64_epi64(_mm256_packus_epi32(low, _mm256_srli_epi32(pairs, 16)), 0xD8);
  first = _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
  second = _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1));
}

/// The scales of eight blocks.
template <class Block>
class eight_scales_of {
 public:
  template <class Eight>
  [[gnu::always_inline]] explicit eight_scales_of(const Eight& eight) {
    if constexpr (Block::has_offset) {  // the two lie side by side
      split_halves(eight.dwords(offsetof(Block, scale)), scale_, offset_);
    } else {
      scale_ = eight.halves(offsetof(Block, scale));
      offset_ = _mm256_setzero_ps();
    }
  }
  __m256 scale(std::size_t) const { return scale_; }
  __m256 offset(std::size_t) const { return offset_; }

 private:
  __m256 scale_, offset_;
};

template <class Block>
  requires requires { Block::part_scales; }
class eight_scales_of<Block> {
 public:
  template <class Eight>
  explicit eight_scales_of(const Eight& eight) {
    __m256i column[4];
    eight.columns(0, column);
    split_halves(column[0], scale_, offset_);
    const auto joined = [](__m256i four_bits, __m256i upper_two) {
      const __m256i upper =
          _mm256_and_si256(_mm256_srli_epi32(upper_two, 2), _mm256_set1_epi8(0x30));
      return _mm256_or_si256(_mm256_and_si256(four_bits, _mm256_set1_epi8(15)), upper);
    };
    scales_[0] = _mm256_and_si256(column[1], _mm256_set1_epi8(63));
    offsets_[0] = _mm256_and_si256(column[2], _mm256_set1_epi8(63));
    scales_[1] = joined(column[3], column[1]);
    offsets_[1] = joined(_mm256_srli_epi32(column[3], 4), column[2]);
  }
  __m256 scale(std::size_t part) const {
    return _mm256_mul_ps(scale_, _mm256_cvtepi32_ps(byte_of(scales_, part)));
  }
  __m256 offset(std::size_t part) const {
    const __m256i negative = _mm256_sub_epi32(_mm256_setzero_si256(), byte_of(offsets_, part));
    return _mm256_mul_ps(offset_, _mm256_cvtepi32_ps(negative));
  }

 private:
  static __m256i byte_of(const __m256i (&eight)[2], std::size_t part) {
    const __m256i shifted = _mm256_srli_epi32(eight[part / 4], 8 * static_cast<int>(part % 4));
    return _mm256_and_si256(shifted, _mm256_set1_epi32(0xFF));
  }

  __m256 scale_, offset_;
  __m256i scales_[2], offsets_[2];
};

template <>
class eight_scales_of<q6_k_block> {
 public:
  template <class Eight>
  explicit eight_scales_of(const Eight& eight) : scale_(eight.halves(offsetof(q6_k_block, scale))) {
    eight.columns(offsetof(q6_k_block, step), steps_);
  }
  __m256 scale(std::size_t) const { return scale_; }
  __m256 offset(std::size_t) const { return _mm256_setzero_ps(); }
  /// Of the 16 weights from 16 · i on.
  __m256i step(std::size_t i) const {
    const __m256i top = _mm256_slli_epi32(steps_[i / 4], 24 - 8 * static_cast<int>(i % 4));
    return _mm256_srai_epi32(top, 24);
  }
  /// Those of a part, of the first four blocks or the last, as pairs of 16 bits: of the first 16
  /// weights in the lower half, of the last in the upper.
  __m256i step_pairs_of_four(std::size_t four, std::size_t part) const {
    const __m256i both = steps_[part / 2];
    const __m256i each = four == 0 ? _mm256_permute2x128_si256(both, both, 0x00)
                                   : _mm256_permute2x128_si256(both, both, 0x11);
    // Each to the upper halves of two numbers, which are shifted down.
    const auto from = [](int first) {
      const auto byte = [first](int lane) { return (4 * lane + first) * 0x01000100 | 0x00800080; };
      return _mm_setr_epi32(byte(0), byte(1), byte(2), byte(3));
    };
    const __m256i order =
        part % 2 == 0 ? _mm256_setr_m128i(from(0), from(1)) : _mm256_setr_m128i(from(2), from(3));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(each, order), 8);
  }
#if defined(__AVX512F__)
  /// Of the 64 weights from 64 · i on, of the first four blocks or the last: 16 in each 128 bits.
  __m512i steps_of_four(std::size_t four, std::size_t i) const {
    const __m128i each =
        four == 0 ? _mm256_castsi256_si128(steps_[i]) : _mm256_extracti128_si256(steps_[i], 1);
    const __m512i shifts =
        _mm512_setr_epi32(24, 24, 24, 24, 16, 16, 16, 16, 8, 8, 8, 8, 0, 0, 0, 0);
    return _mm512_srai_epi32(_mm512_sllv_epi32(_mm512_broadcast_i32x4(each), shifts), 24);
  }
#endif

 private:
  __m256 scale_;
  __m256i steps_[4];
};

}  // namespace weir::inline WEIR_TARGET::detail

#endif
