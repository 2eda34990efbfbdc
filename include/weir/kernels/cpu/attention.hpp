// Online-softmax attention over tiles, for decode and prefill alike: R packed query rows share
// each reading of a key or a value. Bits are those of reference/attention.hpp.
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
/// `keys` is `[head_dim, 32]`. Slices without a live lane are not read.
template <class A, std::size_t R, class T>
inline void score_tile(const T* keys, std::size_t head_dim, const float* const* query,
                       const std::uint32_t* live, float (*scores)[tile_lanes]) {
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

/// Decodes and rotates one key tile into `out`, `[head_dim, 32]`.
template <class A, class T>
inline void rotate_tile(const T* keys, std::size_t head_dim, const rotate_on_read& turn,
                        const std::uint32_t* rank, float* out) {
  constexpr std::size_t w = simd::lanes<A>;
  for (std::size_t at = 0; at < tile_lanes; at += w) {
    bool run = true;  // consecutive ranks: their cosines are one load
    for (std::size_t l = 1; l < w; ++l) run = run && rank[at + l] == rank[at] + l;
    alignas(64) float c[w], s[w];
    for (std::size_t i = 0; i < turn.pairs; ++i) {
      const float *cos = turn.cos + i * turn.stride, *sin = turn.sin + i * turn.stride;
      if (run) {
        cos += rank[at];
        sin += rank[at];
      } else {
        for (std::size_t l = 0; l < w; ++l) c[l] = cos[rank[at + l]], s[l] = sin[rank[at + l]];
        cos = c;
        sin = s;
      }
      const auto [a, b] = turn.elements(i);
      const auto x = simd::load<A>(keys + a * tile_lanes + at);
      const auto y = simd::load<A>(keys + b * tile_lanes + at);
      const auto vc = simd::load<A>(cos), vs = simd::load<A>(sin);
      simd::store<A>(out + a * tile_lanes + at, simd::fma<A>(x, vc, -(y * vs)));
      simd::store<A>(out + b * tile_lanes + at, simd::fma<A>(y, vc, x * vs));
    }
    for (std::size_t k = 2 * turn.pairs; k < head_dim; ++k)
      simd::store<A>(out + k * tile_lanes + at, simd::load<A>(keys + k * tile_lanes + at));
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
/// `even`: every row reads every value, so no row needs asking.
template <class A, std::size_t R, std::size_t N, class T>
inline void add_values(std::span<const value_read<T>> reads, std::size_t at, bool even,
                       const float* rescale, const float (*weight)[tile_lanes],
                       attention_state* state) {
  simd::floats<A> sum[R][N];
  for (std::size_t r = 0; r < R; ++r)
    for (std::size_t i = 0; i < N; ++i)
      sum[r][i] =
          simd::load<A>(state[r].o + at + i * simd::lanes<A>) * simd::broadcast<A>(rescale[r]);
  const auto add = [&]<bool ask>() {
    for (const value_read<T>& read : reads) {
      simd::floats<A> v[N];
      for (std::size_t i = 0; i < N; ++i)
        v[i] = simd::load<A>(read.value + at + i * simd::lanes<A>);
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

/// Folds the visits of one split into the states of R packed rows, R of {1, 2, 4, 8}.
/// Reads each live key and value once for all R. O(visits · 32 · head_dim · R).
template <class A, std::size_t R, class T>
void fold_rows(const attention_block<T>& block, const visit_list& plan, attention_state* state) {
  using namespace detail;
  const std::size_t head_dim = block.head_dim, padded = padded_head_dim(head_dim);
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  alignas(64) float score[R][tile_lanes];
  alignas(64) float rotated[max_head_dim * tile_lanes];  // touched only with `rotation`
  value_read<T> reads[tile_lanes + visit_list::max_siblings];

  for (const tile_visit& visit : plan.visits()) {
    const auto pieces = plan.pieces(visit);
    const float* const* query = block.query[visit.variant].data();
    std::uint32_t live[R] = {};
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < tile_lanes; i += simd::lanes<A>)
        simd::store<A>(score[r] + i, simd::broadcast<A>(lowest));

    // Scores: every physical tile apart, blended into one vector of 32 lanes.
    for (const visit_piece& piece : pieces) {
      std::uint32_t mask[R];
      for (std::size_t r = 0; r < R; ++r) {
        mask[r] = piece.live[block.step_row[r]];
        live[r] |= mask[r];
      }
      const T* keys = block.keys + piece.tile * head_dim * tile_lanes;
      if (block.rotation == nullptr) {
        score_tile<A, R>(keys, head_dim, query, mask, score);
      } else {
        rotate_tile<A>(keys, head_dim, *block.rotation, block.rank + piece.tile * tile_lanes,
                       rotated);
        score_tile<A, R>(static_cast<const float*>(rotated), head_dim, query, mask, score);
      }
    }

    // Softmax: one max, one rescale, one sum by halving, for the rows that read anything here.
    float rescale[R];
    std::uint32_t any = 0;
    bool even = true;
    for (std::size_t r = 0; r < R; ++r) {
      rescale[r] = 1.0f;
      float largest = lowest;
      if (live[r] != 0) {
        auto top = simd::load<A>(score[r]);
        for (std::size_t i = simd::lanes<A>; i < tile_lanes; i += simd::lanes<A>)
          top = simd::max<A>(top, simd::load<A>(score[r] + i));
        largest = simd::max_lane<A>(top);
      }
      if (largest == lowest) {
        live[r] = 0;
      } else {
        attention_state& s = state[r];
        const float m = s.m > largest ? s.m : largest;
        rescale[r] = simd::exp(s.m - m);
        simd::floats<A> weight[tile_registers<A>];
        for (std::size_t i = 0; i < tile_registers<A>; ++i) {
          float* at = score[r] + i * simd::lanes<A>;
          weight[i] = simd::exp<A>(simd::load<A>(at) - simd::broadcast<A>(m));
          simd::store<A>(at, weight[i]);
        }
        s.m = m;
        s.d = std::fma(s.d, rescale[r], simd::sum_halving<A>(weight));
      }
      any |= live[r];
      even = even && live[r] == live[0];
    }

    // Values: in lane order, siblings that share a lane number one after the other.
    std::size_t count = 0;
    for (std::uint32_t left = any; left != 0; left &= left - 1) {
      const auto lane = static_cast<std::uint32_t>(std::countr_zero(left));
      for (const visit_piece& piece : pieces) {
        std::uint32_t rows = 0;
        for (std::size_t r = 0; r < R; ++r)
          rows |= ((piece.live[block.step_row[r]] & live[r]) >> lane & 1u) << r;
        if (rows != 0)
          reads[count++] = {block.values + (piece.tile * tile_lanes + lane) * padded, lane, rows};
      }
    }
    even = even && count == static_cast<std::size_t>(std::popcount(any));
    const std::span<const value_read<T>> all{reads, count};
    constexpr std::size_t n = slice_registers<A, R>, width = n * simd::lanes<A>;
    std::size_t at = 0;
    for (; at + width <= padded; at += width)
      add_values<A, R, n>(all, at, even, rescale, score, state);
    for (; at < padded; at += simd::lanes<A>)
      add_values<A, R, 1>(all, at, even, rescale, score, state);
  }
}

/// The same for any number of rows up to `max_block_rows`.
template <class A = simd::native, class T>
void fold(attention_block<T> block, const visit_list& plan, attention_state* state,
          std::size_t rows) {
  while (rows > 0) {
    const std::size_t some = std::bit_floor(std::min(rows, max_block_rows));
    switch (some) {
      case 8:
        fold_rows<A, 8>(block, plan, state);
        break;
      case 4:
        fold_rows<A, 4>(block, plan, state);
        break;
      case 2:
        fold_rows<A, 2>(block, plan, state);
        break;
      default:
        fold_rows<A, 1>(block, plan, state);
    }
    rows -= some;
    if (rows == 0) return;
    state += some;
    for (auto& variant : block.query)
      std::shift_left(variant.begin(), variant.end(), static_cast<std::ptrdiff_t>(some));
    std::shift_left(block.step_row.begin(), block.step_row.end(),
                    static_cast<std::ptrdiff_t>(some));
  }
}

}  // namespace weir::cpu
