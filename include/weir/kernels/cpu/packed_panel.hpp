// Panels of packed weights: the codes of a few outputs laid out for a micro-kernel that many rows
// of activations pass through, so that unpacking is paid for once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <weir/core/arena.hpp>
#include <weir/kernels/cpu/packed_codes.hpp>
#include <weir/kernels/quantized_rows.hpp>
#include <weir/simd/integer.hpp>
#include <weir/simd/simd.hpp>

#if defined(__AVX2__) && defined(__F16C__)

namespace weir::detail {

/// The architecture that products with packed weights run on where A is asked for.
template <class A>
using packed_arch = std::conditional_t<simd::has_byte_dots<A>, A, xsimd::avx2>;

/// What a micro-kernel has to know of weights. Codes that are not signed have a bias, or steps that
/// go with one, or an offset.
template <bool Offset, bool Steps, bool Signed>
struct panel_form {
  static constexpr bool has_offset = Offset, has_steps = Steps, is_signed = Signed;
  static constexpr bool has_bias = !Offset && !Steps && !Signed;
};

template <class A, class Block>
using panel_form_of =
    panel_form<Block::has_offset, Block::steps == 2, (Block::bias >= simd::byte_dots<A>::code_end)>;

/// 32 weights of each of a panel's outputs.
template <class A>
struct panel_part {
  static constexpr std::size_t groups = simd::lanes<A> == 16 ? 2 : 1;
  static constexpr std::size_t lanes = simd::lanes<A>, outputs = groups * lanes;

  alignas(64) std::int8_t codes[8][groups][4 * lanes];  ///< code 4 k + i in byte 4 · lane + i
  float scales[outputs];
  float offsets[outputs];
  std::int32_t steps[2][outputs];
  std::int16_t bias[outputs][2];  ///< −bias · step, both of a lane side by side
};

/// Puts the parts of `blocks` blocks into `out`. `rows[o]` is the first of output o's.
/// Asks for what lies `ahead` bytes behind each of them.
template <class A, class Block>
void pack_panel(const Block* const* rows, std::size_t blocks, std::size_t ahead,
                panel_part<A>* out) {
  using part_type = panel_part<A>;
  using form = panel_form_of<A, Block>;
  constexpr std::size_t parts = Block::size / quantized_rows::block, lanes = part_type::lanes;
  for (std::size_t b = 0; b < blocks; ++b, out += parts) {
    for (std::size_t eight = 0; eight < part_type::outputs; eight += 8) {
      const auto block = [&](std::size_t i) -> const Block& { return rows[eight + i][b]; };
      const eight_scales_of<Block> scales(block);
#pragma GCC unroll 8
      for (std::size_t p = 0; p < parts; ++p) {
        _mm256_store_ps(out[p].scales + eight, scales.scale(p));
        if constexpr (form::has_offset) _mm256_store_ps(out[p].offsets + eight, scales.offset(p));
        if constexpr (form::has_steps) {
          const __m256i first = scales.step(2 * p), second = scales.step(2 * p + 1);
          store_256(out[p].steps[0] + eight, first);
          store_256(out[p].steps[1] + eight, second);
          const __m256i both = _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xAA);
          store_256(out[p].bias + eight, _mm256_mullo_epi16(both, _mm256_set1_epi16(-Block::bias)));
        }
      }
    }
    for (std::size_t group = 0; group < part_type::groups; ++group) {
      const Block* const* const in = rows + group * lanes;
#pragma GCC unroll 8
      for (std::size_t p = 0; p < parts; ++p) {
        __m256i codes[lanes];
#pragma GCC unroll 16
        for (std::size_t r = 0; r < lanes; ++r) {
          codes[r] = load_codes(in[r][b], p);
          // One by one: many at once would hold up the loads.
          if (p % 2 == 0 && p / 2 * cache_line < sizeof(Block))
            simd::prefetch(in[r] + b, ahead + p / 2 * cache_line);
          if constexpr (form::is_signed)
            codes[r] = _mm256_xor_si256(codes[r], _mm256_set1_epi8(static_cast<char>(0x80)));
        }
        simd::ints<A> columns[8];
        simd::byte_dots<A>::transpose(codes, columns);
#pragma GCC unroll 8
        for (std::size_t k = 0; k < 8; ++k)
          columns[k].store_aligned(reinterpret_cast<std::int32_t*>(out[p].codes[k][group]));
      }
    }
  }
}

}  // namespace weir::detail

#endif
