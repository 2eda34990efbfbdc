// Panels of packed weights: the codes of a few outputs laid out for a micro-kernel that many rows
// of activations pass through, so that unpacking is paid for once.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/cpu/packed_columns.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::inline WEIR_TARGET::detail {

/// The architecture that products with packed weights run on where A is asked for.
template <class A>
using packed_arch = std::conditional_t<simd::has_byte_dots<A>, A, xsimd::avx2>;

/// What a micro-kernel has to know of weights. Codes that are not signed have a bias, or steps that
/// go with one, or an offset.
template <bool Offset, bool Steps, bool Signed, std::int32_t CodeEnd>
struct panel_form {
  static constexpr bool has_offset = Offset, has_steps = Steps, is_signed = Signed;
  static constexpr std::int32_t code_end = CodeEnd;
  static constexpr bool has_bias = !Offset && !Steps && !Signed;
};

template <class A, class Block>
using panel_form_of = panel_form<Block::has_offset, Block::steps == 2,
                                 (Block::bias >= simd::byte_dots<A>::code_end), code_end<Block>>;

/// to[row][g] += Σ_{First ≤ k < Last} Σ_{i<4} of products of codes with activations, in each lane.
/// `codes(g, k)` returns four codes of each lane, `x(row, k)` four activations in every lane.
/// `before(k)` is called before each k.
template <class A, class Form, std::size_t First, std::size_t Last, std::size_t Rows,
          std::size_t Groups, class Codes, class X, class Before>
[[gnu::always_inline]] inline void add_dots(simd::ints<A> (&to)[Rows][Groups], const Codes& codes,
                                            const X& x, const Before& before) {
  using dots = simd::byte_dots<A>;
  using ints = simd::ints<A>;
  constexpr std::size_t room = dots::products_in_16_bits(Form::code_end),
                        run = std::clamp<std::size_t>(std::bit_floor(room), 1, Last - First);
  const auto each = [](const auto& f) {
#pragma GCC unroll 8
    for (std::size_t row = 0; row < Rows; ++row)
#pragma GCC unroll 2
      for (std::size_t g = 0; g < Groups; ++g) f(row, g);
  };
  ints pairs[Rows][Groups];  // sums of 16 bits
#pragma GCC unroll 8
  for (std::size_t k = First; k < Last; ++k) {
    before(k);
    ints w[Groups];
#pragma GCC unroll 2
    for (std::size_t g = 0; g < Groups; ++g) w[g] = codes(g, k);
    each([&](std::size_t row, std::size_t g) {
      if constexpr (Form::is_signed)
        to[row][g] = dots::held(dots::dot_signed(to[row][g], w[g], x(row, k)));
      else if constexpr (run == 1)
        to[row][g] = dots::held(dots::dot(to[row][g], w[g], x(row, k)));
      else if (k % run == 0)
        pairs[row][g] = dots::products(w[g], x(row, k));
      else
        pairs[row][g] = dots::held(dots::add_products(pairs[row][g], w[g], x(row, k)));
    });
    if constexpr (run > 1)
      if (k % run == run - 1)
        each([&](std::size_t row, std::size_t g) {
          to[row][g] = dots::held(dots::widen(to[row][g], pairs[row][g]));
        });
  }
}

/// Registers of outputs in a panel, and those outputs.
template <class A>
inline constexpr std::size_t panel_groups = simd::lanes<A> == 16 ? 2 : 1;
template <class A>
inline constexpr std::size_t panel_width = panel_groups<A> * simd::lanes<A>;

/// 32 weights of each of as many outputs as a register has lanes: a group of a panel.
template <class A>
struct panel_part {
  static constexpr std::size_t outputs = simd::lanes<A>;

  alignas(64) std::int8_t codes[8][4 * outputs];  ///< code 4 k + i in byte 4 · lane + i
  float scales[outputs];
  float offsets[outputs];
  std::int32_t steps[2][outputs];
  std::int16_t bias[outputs][2];  ///< −bias · step, both of a lane side by side
};

/// Where a panel's rows of weights lie: `stride` bytes apart. A register holds the address of every
/// fourth; those between are offsets that instructions add. One address each would not fit into
/// registers.
template <std::size_t Rows>
class panel_rows {
 public:
  [[gnu::always_inline]] panel_rows(const void* first, std::size_t stride) : stride_(stride) {
    const auto* p = static_cast<const std::byte*>(first);
#pragma GCC unroll 8
    for (auto& q : fourth_) {
      asm("" : "+r"(p));  // else compilers keep all addresses, in memory
      q = p;
      p += 4 * stride;
    }
  }
  [[gnu::always_inline]] const std::byte* operator[](std::size_t row) const {
    return fourth_[row / 4] + row % 4 * stride_;
  }

 private:
  const std::byte* fourth_[Rows / 4];
  std::size_t stride_;
};

/// Asks for those cache lines of `Bytes` bytes from `p` on that start in the `i`-th of `n` even
/// pieces.
template <std::size_t Bytes>
[[gnu::always_inline]] inline void prefetch_piece(const void* p, std::size_t i, std::size_t n) {
  constexpr std::size_t lines = (Bytes + cache_line - 1) / cache_line;
#pragma GCC unroll 8
  for (std::size_t line = (i * lines + n - 1) / n; line * n < (i + 1) * lines; ++line) {
    simd::prefetch_lines<1>(p, line * cache_line);
    asm volatile("" ::: "memory");  // one by one: processors drop what comes in bursts
  }
}

/// The scales and offsets of eight blocks' parts, for outputs from `first` on.
template <class A, class Block>
void pack_scales(const eight_scales_of<Block>& scales, std::size_t first, panel_part<A>* out) {
  using form = panel_form_of<A, Block>;
#pragma GCC unroll 8
  for (std::size_t p = 0; p < Block::size / quantized_rows::block; ++p) {
    _mm256_store_ps(out[p].scales + first, scales.scale(p));
    if constexpr (form::has_offset) _mm256_store_ps(out[p].offsets + first, scales.offset(p));
    if constexpr (form::has_steps) {
      const __m256i low = scales.step(2 * p), high = scales.step(2 * p + 1);
      store_256(out[p].steps[0] + first, low);
      store_256(out[p].steps[1] + first, high);
      const __m256i both = _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xAA);
      store_256(out[p].bias + first, _mm256_mullo_epi16(both, _mm256_set1_epi16(-Block::bias)));
    }
  }
}

/// Outputs as rows that lie apart: the first one's blocks are at `w`, the next one's `stride`
/// blocks behind.
struct rows_apart {
  static constexpr std::size_t together = 1;  ///< blocks that lie side by side

  template <class A, class Block, class F>
  [[gnu::always_inline]] void visit(const Block* w, std::size_t stride, const F& f) const {
    const panel_rows<simd::lanes<A>> rows(w, stride * sizeof(Block));
    const auto block = [&](std::size_t o) -> const Block& {
      return *reinterpret_cast<const Block*>(rows[o]);
    };
    const auto eight = [&](std::size_t first) {
      const auto at = [&](std::size_t i) -> const Block& { return block(first + i); };
      return eight_scales_of<Block>{blocks_apart(at)};
    };
    f(eight, columns_apart<A, decltype(block)>(block));
  }
};

/// Outputs in a panel of repacked weights, of which `first` is the first that is wanted.
struct rows_in_panel {
  static constexpr std::size_t together = panel_height;
  std::size_t first = 0;

  template <class A, class Block, class F>
  [[gnu::always_inline]] void visit(const Block* w, std::size_t, const F& f) const {
    const auto eight = [&](std::size_t at) {
      return eight_scales_of<Block>{blocks_in_panel(w, first + at)};
    };
    f(eight, columns_in_panel<A>(w, first));
  }
};

/// Puts the parts of `blocks` blocks of a group into `out`. `rows` says how the outputs' blocks lie
/// from `w` on. Meanwhile asks for as many bytes from `ask` on.
template <class A, class Rows, class Block>
void pack_panel(const Rows& rows, const Block* w, std::size_t stride, std::size_t blocks,
                const std::byte* ask, panel_part<A>* out) {
  using columns_of = packed_columns<A, Block>;
  constexpr std::size_t parts = Block::size / quantized_rows::block;
  constexpr std::size_t bytes = simd::lanes<A> * sizeof(Block);
  constexpr std::size_t pieces = columns_of::period * 8, rounds = parts / columns_of::period;
  for (std::size_t b = 0; b < blocks; ++b, w += Rows::together) {
    rows.template visit<A>(w, stride, [&](const auto& scales, const auto& columns) {
      for (std::size_t eight = 0; eight < simd::lanes<A>; eight += 8)
        pack_scales(scales(eight), eight, out);
      columns_of codes;
      codes.begin(columns);
      for (std::size_t round = 0; round < rounds; ++round, ask += bytes / rounds)
#pragma GCC unroll 4
        for (std::size_t p = 0; p < columns_of::period; ++p, ++out) {
          simd::ints<A> four[8];
          codes.take(columns, round, p, four);
#pragma GCC unroll 8
          for (std::size_t k = 0; k < 8; ++k) {
            four[k].store_aligned(reinterpret_cast<std::int32_t*>(out->codes[k]));
            prefetch_piece<bytes / rounds>(ask, 8 * p + k, pieces);
          }
        }
    });
  }
}

}  // namespace weir::inline WEIR_TARGET::detail

#endif
