// Scores and weighted values of tiles of integers: int8, int4. Queries and weights are rounded to
// integers too, so that sums within a group are exact and may be taken in any order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/cpu/number_tiles.hpp>
#include <weir/kernels/integer_tiles.hpp>
#include <weir/simd/key_sums.hpp>
#include <weir/simd/kv_dots.hpp>
#include <weir/simd/row_reductions.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

template <class A, std::size_t R, integer_codec C>
class tile_reader<A, R, C> {
  using tiles = kv_tiles<C>;
  using dots = simd::kv_dots<A>;
  using sums = typename dots::sums;
  using pairs = typename dots::pairs;
  using key_sums = simd::key_sums<A, C::bits>;
  static constexpr std::size_t lanes = simd::lanes<A>, registers = detail::tile_registers<A>;
  static constexpr std::size_t max_groups = tiles::groups(max_head_dim);
  /// Registers' worth of a tile's lanes, or of a block of values, that some rows work on at a time:
  /// as few as whole halves of bytes allow, since each is taken apart once for all those rows.
  static constexpr std::size_t slice = 2, slices = registers / slice;
  /// Rows whose sums over a slice stay in registers.
  static constexpr std::size_t rows_at_once = std::min(detail::accumulators<A> / slice, R);

 public:
  explicit tile_reader(const attention_block<C>& block) : block_(block) {}

  /// As for numbers, but tiles are read so fast that the next one is asked for as a whole: its keys
  /// here, its values with the values.
  void score(std::size_t tile, std::size_t variant, const std::uint32_t* live, pages_ahead pages,
             float (*scores)[tile_lanes]) {
    const std::size_t head_dim = block_.head_dim, rows = tiles::key_rows(head_dim);
    const std::int8_t* const keys = block_.key_tile(tile);
    const auto* const scales = tiles::key_scales(keys, head_dim);
    const simd::reads_ahead ahead{block_.key_tile(pages.next), block_.key_tile(pages.later)};
    prefetch_scales(ahead, tiles::key_codes(head_dim));
    const query_rows& query = rounded(variant);
    for (std::size_t first = 0; first < R; first += rows_at_once) {
      std::size_t offset = 0;  // in what is ahead, front to back
      for (std::size_t at = 0; at < tile_lanes; at += slice * lanes) {
        simd::floats<A> sum[rows_at_once][slice];
        for (auto& row : sum)
          for (auto& x : row) x = simd::broadcast<A>(0.0f);
        for (std::size_t g = 0; g < tiles::groups(head_dim); ++g) {
          constexpr std::size_t group_rows = C::group / tiles::row_elements;
          const std::size_t last = std::min(rows, (g + 1) * group_rows);
          key_sums exact[rows_at_once][slice];
          for (std::size_t r = 0; r < rows_at_once; ++r)
            for (auto& x : exact[r]) x = key_sums(query.start[first + r][g]);
          for (std::size_t row = g * group_rows; row < last; ++row) {
            ahead.prefetch<slice * 4 * lanes>(offset);
            offset += slice * 4 * lanes;
            add_key_row(keys + row * tiles::row_bytes + 4 * at,
                        &query.code[first][row * tiles::row_elements / 4], exact);
          }
          for (std::size_t i = 0; i < slice; ++i) {
            const auto scale = simd::load<A>(scales + g * tile_lanes + at + i * lanes);
            for (std::size_t r = 0; r < rows_at_once; ++r)
              sum[r][i] = simd::fma<A>(
                  dots::to_floats(exact[r][i].total(query.start[first + r][g])), scale, sum[r][i]);
          }
        }
        for (std::size_t r = 0; r < rows_at_once; ++r)
          for (std::size_t i = 0; i < slice; ++i) {
            float* const to = scores[first + r] + at + i * lanes;
            const auto value = sum[r][i] * simd::broadcast<A>(query.scale[first + r]);
            simd::store<A>(
                to, simd::blend<A>(live[first + r] >> (at + i * lanes), value, simd::load<A>(to)));
          }
      }
    }
  }

  simd::floats<A> key(std::size_t tile, std::size_t k, std::size_t at) const {
    alignas(64) float lane[lanes];
    for (std::size_t l = 0; l < lanes; ++l)
      lane[l] = tiles::key(block_.key_tile(tile), block_.head_dim, at + l, k);
    return simd::load<A>(lane);
  }

  /// A row's weights, times their values' scales, are rounded to 15 bits by one power of two.
  void add_values(std::span<const visit_piece> pieces, const std::uint32_t* live,
                  const float* rescale, const float (*weight)[tile_lanes], pages_ahead pages,
                  attention_state* state) {
    const std::size_t groups = tiles::groups(block_.head_dim);
    const simd::reads_ahead ahead{block_.value_tile(pages.next), block_.value_tile(pages.later)};
    prefetch_scales(ahead, tiles::value_codes(block_.head_dim));
    alignas(64) float scaled[R][max_groups][tile_lanes];
    simd::floats<A> most[R];
    for (auto& x : most) x = simd::broadcast<A>(0.0f);
    for (const visit_piece& piece : pieces) {
      const bool is_first = &piece == pieces.data();
      std::uint32_t mask[R];
      for (std::size_t r = 0; r < R; ++r) mask[r] = piece.live[block_.step_row[r]] & live[r];
      const auto* const scales =
          tiles::value_scales(block_.value_tile(piece.page), block_.head_dim);
      for (std::size_t g = 0; g < groups; ++g)
        for (std::size_t i = 0; i < tile_lanes; i += lanes) {
          const auto scale = simd::load<A>(scales + g * tile_lanes + i);
          for (std::size_t r = 0; r < R; ++r) {
            float* const at = scaled[r][g] + i;
            const auto before = is_first ? simd::broadcast<A>(0.0f) : simd::load<A>(at);
            const auto x =
                simd::blend<A>(mask[r] >> i, simd::load<A>(weight[r] + i) * scale, before);
            simd::store<A>(at, x);
            most[r] = simd::larger_magnitude<A>(most[r], x);
          }
        }
    }
    alignas(64) float largest[simd::row_numbers<A, R>];
    simd::largest_magnitudes<A>(most, largest);
    for (std::size_t r = 0; r < R; ++r) {
      const weight_scale unit(largest[r]);
      dots::round(scaled[r][0], unit.inverse, weight_[r][0], groups * tile_lanes);
      scale_[r] = unit.scale;
    }

    for (std::size_t p = 0; p < pieces.size(); ++p) {
      std::uint32_t mask[R], any = 0;
      for (std::size_t r = 0; r < R; ++r)
        any |= mask[r] = pieces[p].live[block_.step_row[r]] & live[r];
      const bool only = pieces.size() == 1;
      if (!only) choose(mask, groups);
      add_piece(block_.value_tile(pieces[p].page), any, only ? weight_ : chosen_, p == 0,
                p + 1 == pieces.size(), rescale, ahead, state);
    }
  }

 private:
  /// The queries of one variant.
  struct query_rows {
    alignas(64) typename key_sums::four code[R][max_head_dim / 4];
    std::int32_t start[R][max_groups];  ///< −key_bias · Σ code over a group
    float scale[R];
    bool ready = false;
  };
  /// Pairs of tokens whose slices are a cache line.
  static constexpr std::size_t slice_bytes = tiles::block_bytes / slices,
                               pairs_at_once = 64 / slice_bytes;
  using group_weights = std::int16_t[max_groups][tile_lanes];

  void prefetch_scales(const simd::reads_ahead& tiles_ahead, std::size_t codes) const {
    for (std::size_t i = 0; i < tiles::scale_bytes(block_.head_dim); i += 64)
      tiles_ahead.prefetch<64>(codes + i);
  }

  const query_rows& rounded(std::size_t variant) {
    query_rows& query = query_[variant];
    if (query.ready) return query;
    query.ready = true;
    const std::size_t dim = std::min(block_.head_dim, max_head_dim);  // compilers cannot know
    const std::size_t padded = (dim + 31) / 32 * 32;
    for (std::size_t r = 0; r < R; ++r) {
      alignas(64) float x[max_head_dim] = {};
      alignas(64) std::int16_t nearest[max_head_dim];
      std::copy_n(block_.query[variant][r], dim, x);
      const query_scale unit(dots::largest(x, padded));
      query.scale[r] = unit.scale;
      dots::round(x, unit.inverse, nearest, padded);
      for (std::size_t k = 0; k < padded; k += 4)
        query.code[r][k / 4] = key_sums::pack(nearest + k);
      for (std::size_t g = 0; g < tiles::groups(block_.head_dim); ++g) {
        const std::size_t first = g * C::group, last = std::min(padded, first + C::group);
        query.start[r][g] = -static_cast<std::int32_t>(tiles::key_bias) *
                            std::accumulate(nearest + first, nearest + last, std::int32_t{0});
      }
    }
    return query;
  }

  /// `code` is where the first row's elements of this key row are.
  static void add_key_row(const std::int8_t* row, const typename key_sums::four* code,
                          key_sums (&exact)[rows_at_once][slice]) {
    typename key_sums::codes x[slice];
    for (std::size_t i = 0; i < slice; ++i)
      x[i] = key_sums::load(reinterpret_cast<const std::uint8_t*>(row) + 4 * lanes * i);
    for (std::size_t r = 0; r < rows_at_once; ++r)
      for (std::size_t i = 0; i < slice; ++i) exact[r][i].add(x[i], code + r * (max_head_dim / 4));
  }

  /// A slice of two tokens' values.
  static void load_slice(const std::int8_t* p, pairs (&x)[slice]) {
    if constexpr (C::bits == 8)
      for (std::size_t i = 0; i < slice; ++i) x[i] = dots::load(p + 2 * lanes * i);
    else
      for (std::size_t i = 0; i < slice / 2; ++i)
        dots::load_halves(p + 2 * lanes * i, x[i], x[i + slice / 2]);
  }
  /// Which of a block's registers register i of a slice is.
  static constexpr std::size_t register_of(std::size_t s, std::size_t i) {
    if constexpr (C::bits == 8) return s * slice + i;
    constexpr std::size_t half = slice / 2;  // of a byte each
    return i / half * (registers / 2) + s * half + i % half;
  }

  /// The weights of the lanes in `mask`, zeros for the others.
  void choose(const std::uint32_t* mask, std::size_t groups) {
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t g = 0; g < groups; ++g)
        for (std::size_t l = 0; l < tile_lanes; ++l)
          chosen_[r][g][l] = (mask[r] >> l & 1u) != 0 ? weight_[r][g][l] : std::int16_t{0};
  }

  /// Adds one tile's values, `live` in some row. Sums are carried from piece to piece in `exact_`.
  void add_piece(const std::int8_t* values, std::uint32_t live, const group_weights* weight,
                 bool first_piece, bool last_piece, const float* rescale,
                 const simd::reads_ahead& ahead, attention_state* state) {
    const std::size_t blocks = tiles::blocks(block_.head_dim),
                      padded = padded_head_dim(block_.head_dim);
    for (std::size_t first = 0; first < R; first += rows_at_once)
      for (std::size_t b = 0; b < blocks; ++b)
        for (std::size_t s = 0; s < slices; ++s) {
          const std::size_t g = b * tiles::block / C::group;
          sums exact[rows_at_once][slice];
          for (std::size_t r = 0; r < rows_at_once; ++r)
            for (std::size_t i = 0; i < slice; ++i)
              exact[r][i] =
                  first_piece ? dots::broadcast(0) : exact_[first + r][b][register_of(s, i)];
          const std::int8_t* two = values + b * tiles::block_bytes + s * slice_bytes;
          // In what is ahead, front to back.
          std::size_t offset = (b * slices + s) * tile_lanes / 2 * slice_bytes;
          for (std::size_t lane = 0; lane < tile_lanes; lane += 2 * pairs_at_once) {
            ahead.prefetch<64>(offset);
            offset += 64;
            const std::int8_t* const line = two;
            two += pairs_at_once * blocks * tiles::block_bytes;
            if ((live >> lane & ((1u << 2 * pairs_at_once) - 1)) == 0) continue;
            for (std::size_t p = 0; p < pairs_at_once; ++p) {
              pairs x[slice];
              load_slice(line + p * blocks * tiles::block_bytes, x);
              for (std::size_t r = 0; r < rows_at_once; ++r)
                for (std::size_t i = 0; i < slice; ++i)
                  exact[r][i] =
                      dots::stay(dots::dot(exact[r][i], x[i], &weight[first + r][g][lane + 2 * p]));
            }
          }
          for (std::size_t r = 0; r < rows_at_once; ++r)
            for (std::size_t i = 0; i < slice; ++i) {
              const std::size_t row = first + r, of = register_of(s, i),
                                at = b * tiles::block + of * lanes;
              if (!last_piece) {
                exact_[row][b][of] = exact[r][i];
              } else if (at < padded) {
                float* const o = state[row].o + at;
                simd::store<A>(
                    o, simd::fma<A>(dots::to_floats(exact[r][i]), simd::broadcast<A>(scale_[row]),
                                    simd::load<A>(o) * simd::broadcast<A>(rescale[row])));
              }
            }
        }
  }

  const attention_block<C>& block_;
  query_rows query_[query_variants];
  alignas(64) std::int16_t weight_[R][max_groups][tile_lanes];  // of the visit, rounded
  alignas(64) std::int16_t chosen_[R][max_groups][tile_lanes];  // of one of its pieces
  float scale_[R];
  sums exact_[R][tiles::blocks(max_head_dim)][registers];
};

}  // namespace weir::inline WEIR_TARGET::cpu
