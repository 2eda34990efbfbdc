// Scores and weighted values of tiles of numbers: f32, f16, bf16.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/kernels/attention.hpp>

namespace weir::cpu {

namespace detail {

/// Accumulators that stay in registers beside what they are made from.
template <class A>
inline constexpr std::size_t accumulators = simd::lanes<A> >= 16 ? 16 : 8;

template <class A>
inline constexpr std::size_t tile_registers = tile_lanes / simd::lanes<A>;

/// Registers' worth of a tile (or of an output row) that R rows work on at a time.
template <class A, std::size_t R>
inline constexpr std::size_t slice_registers =
    std::clamp<std::size_t>(accumulators<A> / R, 1, std::min<std::size_t>(4, tile_registers<A>));

/// scores[r][lane] of the lanes that row r reads in one tile; other lanes are left as they are.
/// `keys` is `[head_dim, 32]`. Slices without a live lane are not read. Where a key is read, the
/// same place of `ahead` is asked for: the tile that is read next.
template <class A, std::size_t R, class T>
inline void score_tile(const T* keys, std::size_t head_dim, const float* const* query,
                       const std::uint32_t* live, float (*scores)[tile_lanes], const void* ahead) {
  constexpr std::size_t n = slice_registers<A, R>, width = n * simd::lanes<A>;
  constexpr std::uint32_t slice_mask = width == 32 ? 0xFFFFFFFFu : (1u << (width % 32)) - 1;
  std::uint32_t any = 0;
  for (std::size_t r = 0; r < R; ++r) any |= live[r];
  for (std::size_t at = 0; at < tile_lanes; at += width) {
    if ((any >> at & slice_mask) == 0) continue;
    simd::floats<A> sum[R][n];
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < n; ++i) sum[r][i] = simd::broadcast<A>(0.0f);
    const T* key = keys + at;
    for (std::size_t k = 0; k < head_dim; ++k, key += tile_lanes) {
      simd::floats<A> x[n];
      for (std::size_t i = 0; i < n; ++i) x[i] = simd::load<A>(key + i * simd::lanes<A>);
      simd::prefetch_lines<width * sizeof(T)>(ahead,
                                              static_cast<std::size_t>(key - keys) * sizeof(T));
      for (std::size_t r = 0; r < R; ++r) {
        const auto q = simd::broadcast<A>(query[r][k]);
        for (std::size_t i = 0; i < n; ++i) sum[r][i] = simd::fma<A>(q, x[i], sum[r][i]);
      }
    }
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < n; ++i) {
        float* s = scores[r] + at + i * simd::lanes<A>;
        simd::store<A>(
            s, simd::blend<A>(live[r] >> (at + i * simd::lanes<A>), sum[r][i], simd::load<A>(s)));
      }
  }
}

/// One value row and the packed rows (a bit each) that read it.
template <class T>
struct value_read {
  const T* value;
  std::uint32_t lane;
  std::uint32_t rows;
};

/// o[r] = o[r] · rescale[r] + Σ weight[r][lane] · value, in the order of `reads`. A row that does
/// not read a value is left untouched by it, whatever its bytes hold.
/// `even`: every row reads every value, so no row needs asking. `ahead`: as above.
template <class A, std::size_t R, std::size_t N, class T>
inline void add_values(std::span<const value_read<T>> reads, std::size_t at, bool even,
                       const float* rescale, const float (*weight)[tile_lanes], const void* ahead,
                       attention_state* state) {
  constexpr std::size_t step = N * simd::lanes<A> * sizeof(T);
  simd::floats<A> sum[R][N];
  for (std::size_t r = 0; r < R; ++r)
    for (std::size_t i = 0; i < N; ++i)
      sum[r][i] =
          simd::load<A>(state[r].o + at + i * simd::lanes<A>) * simd::broadcast<A>(rescale[r]);
  const auto add = [&]<bool ask>() {
    std::size_t offset = at * tile_lanes * sizeof(T);  // in `ahead`, front to back
    for (const value_read<T>& read : reads) {
      simd::floats<A> v[N];
      for (std::size_t i = 0; i < N; ++i)
        v[i] = simd::load<A>(read.value + at + i * simd::lanes<A>);
      simd::prefetch_lines<step>(ahead, offset);
      offset += step;
      for (std::size_t r = 0; r < R; ++r) {
        if (ask && (read.rows >> r & 1u) == 0) continue;
        const auto w = simd::broadcast<A>(weight[r][read.lane]);
        for (std::size_t i = 0; i < N; ++i) sum[r][i] = simd::fma<A>(w, v[i], sum[r][i]);
      }
    }
  };
  even ? add.template operator()<false>() : add.template operator()<true>();
  for (std::size_t r = 0; r < R; ++r)
    for (std::size_t i = 0; i < N; ++i)
      simd::store<A>(state[r].o + at + i * simd::lanes<A>, sum[r][i]);
}

}  // namespace detail

/// How R packed rows read the tiles of one codec.
template <class A, std::size_t R, class Codec>
class tile_reader;

template <class A, std::size_t R, storage_number T>
class tile_reader<A, R, T> {
 public:
  explicit tile_reader(const attention_block<T>& block) : block_(block) {}

  /// scores[r][lane] of the lanes in live[r]; other lanes are left as they are.
  /// Meanwhile the tile's values are asked for: reading keys takes longer than memory does, and
  /// all of the next tile too would not fit into the nearest cache.
  void score(std::size_t tile, std::size_t variant, const std::uint32_t* live, std::size_t,
             float (*scores)[tile_lanes]) const {
    detail::score_tile<A, R>(block_.key_tile(tile), block_.head_dim, block_.query[variant].data(),
                             live, scores, block_.value_tile(tile));
  }

  /// The scores of every lane, where no values are read: meanwhile the keys of tile `next` are
  /// asked for.
  void score_all(std::size_t tile, std::size_t next, float (*scores)[tile_lanes]) const {
    std::uint32_t every[R];
    std::fill_n(every, R, ~0u);
    detail::score_tile<A, R>(block_.key_tile(tile), block_.head_dim, block_.query[0].data(), every,
                             scores, block_.key_tile(next));
  }

  /// Element k of the keys in lanes `at` … `at + lanes<A> - 1`.
  simd::floats<A> key(std::size_t tile, std::size_t k, std::size_t at) const {
    return simd::load<A>(block_.key_tile(tile) + k * tile_lanes + at);
  }

  /// state[r].o = state[r].o · rescale[r] + Σ weight[r][lane] · value over the lanes in live[r], in
  /// lane order, siblings that share a lane number one after the other. Meanwhile the
  /// keys of tile `next` are asked for.
  void add_values(std::span<const visit_piece> pieces, const std::uint32_t* live,
                  const float* rescale, const float (*weight)[tile_lanes], std::size_t next,
                  attention_state* state) const {
    using namespace detail;
    const std::size_t padded = padded_head_dim(block_.head_dim);
    value_read<T> reads[tile_lanes + visit_list::max_siblings];
    std::uint32_t any = 0;
    bool even = true;
    for (std::size_t r = 0; r < R; ++r) {
      any |= live[r];
      even = even && live[r] == live[0];
    }
    // Almost always one tile that all rows read alike: then nobody needs to ask lane by lane.
    even = even && pieces.size() == 1;
    std::size_t count = 0;
    for (std::uint32_t left = any; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::uint32_t>(std::countr_zero(left));
      for (const visit_piece& piece : pieces) {
        std::uint32_t rows = even ? ~0u : 0u;
        for (std::size_t r = 0; !even && r < R; ++r)
          rows |= ((piece.live[block_.step_row[r]] & live[r]) >> lane & 1u) << r;
        if (rows != 0) reads[count++] = {block_.value_tile(piece.page) + lane * padded, lane, rows};
      }
    }
    const std::span<const value_read<T>> all{reads, count};
    const T* const ahead = block_.key_tile(next);
    constexpr std::size_t n = slice_registers<A, R>, width = n * simd::lanes<A>;
    std::size_t at = 0;
    for (; at + width <= padded; at += width)
      detail::add_values<A, R, n>(all, at, even, rescale, weight, ahead, state);
    for (; at < padded; at += simd::lanes<A>)
      detail::add_values<A, R, 1>(all, at, even, rescale, weight, ahead, state);
  }

 private:
  const attention_block<T>& block_;
};

}  // namespace weir::cpu
