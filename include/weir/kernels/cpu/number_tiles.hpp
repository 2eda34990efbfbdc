// Scores and weighted values of tiles of numbers: f32, f16, bf16.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

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
/// same place of the tiles ahead is asked for.
template <class A, std::size_t R, class T>
inline void score_tile(const T* keys, std::size_t head_dim, const float* const* query,
                       const std::uint32_t* live, float (*scores)[tile_lanes],
                       simd::reads_ahead ahead) {
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
      ahead.prefetch<width * sizeof(T)>(static_cast<std::size_t>(key - keys) * sizeof(T));
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

/// The values of a tile that all rows read alike, in lane order.
template <class T>
struct even_reads {
  static constexpr bool alike = true;
  const T* values;  ///< [lane, padded]
  std::size_t padded;
  std::uint32_t lanes;

  template <class Use>
  void for_each(Use use) const {
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::uint32_t>(std::countr_zero(left));
      use(value_read<T>{values + lane * padded, lane, ~0u});
    }
  }
};

/// Values listed one by one.
template <class T>
struct listed_reads {
  static constexpr bool alike = false;
  std::span<const value_read<T>> all;

  template <class Use>
  void for_each(Use use) const {
    for (const value_read<T>& read : all) use(read);
  }
};

/// o[r] = o[r] · rescale[r] + Σ weight[r][lane] · value, in the order of `reads`, for N registers
/// of elements from `at` on. A row that does not read a value is left untouched by it, whatever its
/// bytes hold. `ahead`: as above.
template <class A, std::size_t R, std::size_t N, template <class> class Reads, class T>
inline void add_values(const Reads<T>& reads, std::size_t at, const float* rescale,
                       const float (*weight)[tile_lanes], simd::reads_ahead ahead,
                       attention_state* state) {
  constexpr std::size_t step = N * simd::lanes<A> * sizeof(T);
  simd::floats<A> sum[R][N];
  for (std::size_t r = 0; r < R; ++r)
    for (std::size_t i = 0; i < N; ++i)
      sum[r][i] =
          simd::load<A>(state[r].o + at + i * simd::lanes<A>) * simd::broadcast<A>(rescale[r]);
  std::size_t offset = at * tile_lanes * sizeof(T);  // in what is ahead, front to back
  reads.for_each([&](const value_read<T>& read) {
    simd::floats<A> v[N];
    for (std::size_t i = 0; i < N; ++i) v[i] = simd::load<A>(read.value + at + i * simd::lanes<A>);
    ahead.prefetch<step>(offset);
    offset += step;
    for (std::size_t r = 0; r < R; ++r) {
      if (!Reads<T>::alike && (read.rows >> r & 1u) == 0) continue;
      const auto w = simd::broadcast<A>(weight[r][read.lane]);
      for (std::size_t i = 0; i < N; ++i) sum[r][i] = simd::fma<A>(w, v[i], sum[r][i]);
    }
  });
  for (std::size_t r = 0; r < R; ++r)
    for (std::size_t i = 0; i < N; ++i)
      simd::store<A>(state[r].o + at + i * simd::lanes<A>, sum[r][i]);
}

}  // namespace detail

/// The tile that is read next and the one after it; probably, at the end of a split.
struct pages_ahead {
  std::size_t next, later;
};

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
  void score(std::size_t tile, std::size_t variant, const std::uint32_t* live, pages_ahead ahead,
             float (*scores)[tile_lanes]) const {
    detail::score_tile<A, R>(block_.key_tile(tile), block_.head_dim, block_.query[variant].data(),
                             live, scores,
                             {block_.value_tile(tile), block_.value_tile(ahead.next)});
  }

  /// Element k of the keys in lanes `at` … `at + lanes<A> - 1`.
  simd::floats<A> key(std::size_t tile, std::size_t k, std::size_t at) const {
    return simd::load<A>(block_.key_tile(tile) + k * tile_lanes + at);
  }

  /// state[r].o = state[r].o · rescale[r] + Σ weight[r][lane] · value over the lanes in live[r], in
  /// lane order, siblings that share a lane number one after the other. Meanwhile the keys ahead
  /// are asked for.
  void add_values(std::span<const visit_piece> pieces, const std::uint32_t* live,
                  const float* rescale, const float (*weight)[tile_lanes], pages_ahead ahead,
                  attention_state* state) const {
    // Almost always one tile that all rows read alike.
    if (pieces.size() == 1 && std::all_of(live, live + R, [&](auto x) { return x == live[0]; }))
      return add_values(detail::even_reads<T>{block_.value_tile(pieces[0].page), padded(), live[0]},
                        rescale, weight, ahead, state);
    std::uint32_t any = 0;
    for (std::size_t r = 0; r < R; ++r) any |= live[r];
    detail::value_read<T> reads[tile_lanes + visit_list::max_siblings];
    std::size_t count = 0;
    for (std::uint32_t left = any; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::uint32_t>(std::countr_zero(left));
      for (const visit_piece& piece : pieces) {
        std::uint32_t rows = 0;
        for (std::size_t r = 0; r < R; ++r)
          rows |= ((piece.live[block_.step_row[r]] & live[r]) >> lane & 1u) << r;
        if (rows != 0)
          reads[count++] = {block_.value_tile(piece.page) + lane * padded(), lane, rows};
      }
    }
    add_values(detail::listed_reads<T>{{reads, count}}, rescale, weight, ahead, state);
  }

 private:
  std::size_t padded() const { return padded_head_dim(block_.head_dim); }

  template <class Reads>
  void add_values(const Reads& reads, const float* rescale, const float (*weight)[tile_lanes],
                  pages_ahead ahead, attention_state* state) const {
    const simd::reads_ahead keys{block_.key_tile(ahead.next), block_.key_tile(ahead.later)};
    constexpr std::size_t n = detail::slice_registers<A, R>, width = n * simd::lanes<A>;
    std::size_t at = 0;
    for (; at + width <= padded(); at += width)
      detail::add_values<A, R, n>(reads, at, rescale, weight, keys, state);
    for (; at < padded(); at += simd::lanes<A>)
      detail::add_values<A, R, 1>(reads, at, rescale, weight, keys, state);
  }

  const attention_block<T>& block_;
};

}  // namespace weir::inline WEIR_TARGET::cpu
