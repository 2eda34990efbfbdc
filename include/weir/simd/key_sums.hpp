// Exact sums of products of a query with keys that are stored as codes of 8 or 4 bits, a key in
// each lane.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <weir/core/target.hpp>
#include <weir/simd/kv_dots.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::simd {

inline std::array<std::int8_t, 4> four_bytes(const std::int16_t* x) {
  std::array<std::int8_t, 4> all;
  for (std::size_t i = 0; i < 4; ++i) all[i] = static_cast<std::int8_t>(x[i]);
  return all;
}

/// start + Σ code · x in each of `lanes<A>` lanes, codes being unsigned. They lie in rows of four
/// bytes a lane: four codes of 8 bits; or eight of 4, the first four in the lower halves. x lies in
/// −127 … 127. Sums stay below 2^31; of codes of 4 bits, an object adds four rows at most. This is
/// the plain form; it defines the others.
template <class A, std::size_t Bits>
class key_sums {
  static_assert(Bits == 8 || Bits == 4);

 public:
  using sums = typename kv_dots<A>::sums;
  /// Four elements of a query as `add` takes them.
  using four = std::array<std::int8_t, 4>;
  /// A row's codes.
  using codes = std::array<std::uint8_t, 4 * lanes<A>>;

  static four pack(const std::int16_t* x) { return four_bytes(x); }
  static codes load(const std::uint8_t* p) {
    codes all;
    std::memcpy(all.data(), p, all.size());
    return all;
  }

  key_sums() = default;
  explicit key_sums(std::int32_t start) : sum_(kv_dots<A>::broadcast(start)) {}
  /// Adds a row's products with the elements at `x`: four, or twice four.
  void add(const codes& row, const four* x) {
    for (std::size_t l = 0; l < lanes<A>; ++l)
      for (std::size_t i = 0; i < 4; ++i) {
        const std::int32_t both = row[4 * l + i];
        if constexpr (Bits == 8)
          sum_[l] += both * x[0][i];
        else
          sum_[l] += (both & 15) * x[0][i] + (both >> 4) * x[1][i];
      }
  }
  /// `start` is what the sums began with.
  sums total(std::int32_t) const { return sum_; }

 private:
  sums sum_;
};

#if defined(__AVX2__) && defined(__FMA__)

/// Bytes 0 and 2 of each four, and 1 and 3, in 16 bits: products of bytes would saturate.
template <class A>
  requires(lanes<A> == 8)
class key_sums<A, 8> {
 public:
  using sums = __m256i;
  struct four {
    std::int16_t even[2], odd[2];
  };
  struct codes {
    __m256i even, odd;
  };

  static four pack(const std::int16_t* x) { return {{x[0], x[2]}, {x[1], x[3]}}; }
  static codes load(const std::uint8_t* p) {
    const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm256_and_si256(all, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(all, 8)};
  }

  key_sums() = default;
  explicit key_sums(std::int32_t start) : sum_(_mm256_set1_epi32(start)) {}
  void add(const codes& row, const four* x) {
    sum_ = kv_dots<A>::stay(kv_dots<A>::dot(sum_, row.even, x->even));
    sum_ = kv_dots<A>::stay(kv_dots<A>::dot(sum_, row.odd, x->odd));
  }
  sums total(std::int32_t) const { return sum_; }

 private:
  sums sum_;
};

/// Sums of 16 bits, two in each lane: eight times two products of 15 · 127 stay below 2^15.
template <class A>
  requires(lanes<A> == 8)
class key_sums<A, 4> {
 public:
  using sums = __m256i;
  using four = std::array<std::int8_t, 4>;
  struct codes {
    __m256i lower, upper;
  };

  static four pack(const std::int16_t* x) { return four_bytes(x); }
  static codes load(const std::uint8_t* p) {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                  nibble = _mm256_set1_epi8(15);
    return {_mm256_and_si256(both, nibble), _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble)};
  }

  key_sums() = default;
  explicit key_sums(std::int32_t) : sum_(_mm256_setzero_si256()) {}
  void add(const codes& row, const four* x) {
    sum_ = plus(row.lower, x[0]);
    sum_ = plus(row.upper, x[1]);
  }
  sums total(std::int32_t start) const {
    return _mm256_add_epi32(_mm256_madd_epi16(sum_, _mm256_set1_epi16(1)),
                            _mm256_set1_epi32(start));
  }

 private:
  __m256i plus(__m256i half, const four& x) const {
    const __m256i all = _mm256_set1_epi32(std::bit_cast<std::int32_t>(x));
    return kv_dots<A>::stay(_mm256_add_epi16(sum_, _mm256_maddubs_epi16(half, all)));
  }
  __m256i sum_;
};

#endif

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

template <class A, std::size_t Bits>
  requires(lanes<A> == 16)
class key_sums<A, Bits> {
 public:
  using sums = __m512i;
  using four = std::array<std::int8_t, 4>;
  using codes = __m512i;

  static four pack(const std::int16_t* x) { return four_bytes(x); }
  static codes load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }

  key_sums() = default;
  explicit key_sums(std::int32_t start) : sum_(_mm512_set1_epi32(start)) {}
  void add(codes row, const four* x) {
    if constexpr (Bits == 8) {
      sum_ = _mm512_dpbusd_epi32(sum_, row, everywhere(x[0]));
    } else {
      const __m512i nibble = _mm512_set1_epi8(15);
      sum_ = _mm512_dpbusd_epi32(sum_, _mm512_and_si512(row, nibble), everywhere(x[0]));
      sum_ = _mm512_dpbusd_epi32(sum_, _mm512_and_si512(_mm512_srli_epi16(row, 4), nibble),
                                 everywhere(x[1]));
    }
  }
  sums total(std::int32_t) const { return sum_; }

 private:
  static __m512i everywhere(const four& x) {
    return _mm512_set1_epi32(std::bit_cast<std::int32_t>(x));
  }
  __m512i sum_;
};

#elif defined(__AVX512BW__)

/// As with registers of 256 bits.
template <class A>
  requires(lanes<A> == 16)
class key_sums<A, 8> {
 public:
  using sums = __m512i;
  struct four {
    std::int16_t even[2], odd[2];
  };
  struct codes {
    __m512i even, odd;
  };

  static four pack(const std::int16_t* x) { return {{x[0], x[2]}, {x[1], x[3]}}; }
  static codes load(const std::uint8_t* p) {
    const __m512i all = _mm512_loadu_si512(p);
    return {_mm512_and_si512(all, _mm512_set1_epi16(0xFF)), _mm512_srli_epi16(all, 8)};
  }

  key_sums() = default;
  explicit key_sums(std::int32_t start) : sum_(_mm512_set1_epi32(start)) {}
  void add(const codes& row, const four* x) {
    sum_ = kv_dots<A>::stay(kv_dots<A>::dot(sum_, row.even, x->even));
    sum_ = kv_dots<A>::stay(kv_dots<A>::dot(sum_, row.odd, x->odd));
  }
  sums total(std::int32_t) const { return sum_; }

 private:
  sums sum_;
};

template <class A>
  requires(lanes<A> == 16)
class key_sums<A, 4> {
 public:
  using sums = __m512i;
  using four = std::array<std::int8_t, 4>;
  struct codes {
    __m512i lower, upper;
  };

  static four pack(const std::int16_t* x) { return four_bytes(x); }
  static codes load(const std::uint8_t* p) {
    const __m512i both = _mm512_loadu_si512(p), nibble = _mm512_set1_epi8(15);
    return {_mm512_and_si512(both, nibble), _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble)};
  }

  key_sums() = default;
  explicit key_sums(std::int32_t) : sum_(_mm512_setzero_si512()) {}
  void add(const codes& row, const four* x) {
    sum_ = plus(row.lower, x[0]);
    sum_ = plus(row.upper, x[1]);
  }
  sums total(std::int32_t start) const {
    return _mm512_add_epi32(_mm512_madd_epi16(sum_, _mm512_set1_epi16(1)),
                            _mm512_set1_epi32(start));
  }

 private:
  __m512i plus(__m512i half, const four& x) const {
    const __m512i all = _mm512_set1_epi32(std::bit_cast<std::int32_t>(x));
    return kv_dots<A>::stay(_mm512_add_epi16(sum_, _mm512_maddubs_epi16(half, all)));
  }
  __m512i sum_;
};

#endif

}  // namespace weir::inline WEIR_TARGET::simd
