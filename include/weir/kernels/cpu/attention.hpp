// Online-softmax attention over tiles, for decode and prefill alike: R packed query rows share
// each reading of a key or a value. Bits are those of reference/attention.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/kernels/attention.hpp>
#include <weir/kernels/cpu/integer_tiles.hpp>
#include <weir/kernels/cpu/number_tiles.hpp>

namespace weir::cpu {

namespace detail {

/// Decodes and rotates one key tile into `out`, `[head_dim, 32]`.
template <class A, class Reader>
inline void rotate_tile(const Reader& reader, std::size_t tile, std::size_t head_dim,
                        const rotate_on_read& turn, const std::uint32_t* rank, float* out) {
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
      const auto x = reader.key(tile, a, at);
      const auto y = reader.key(tile, b, at);
      const auto vc = simd::load<A>(cos), vs = simd::load<A>(sin);
      simd::store<A>(out + a * tile_lanes + at, simd::fma<A>(x, vc, -(y * vs)));
      simd::store<A>(out + b * tile_lanes + at, simd::fma<A>(y, vc, x * vs));
    }
    for (std::size_t k = 2 * turn.pairs; k < head_dim; ++k)
      simd::store<A>(out + k * tile_lanes + at, reader.key(tile, k, at));
  }
}

}  // namespace detail

/// Folds the visits of one split into the states of R packed rows, R of {1, 2, 4, 8}.
/// Reads each live key and value once for all R. O(visits · 32 · head_dim · R).
template <class A, std::size_t R, class Codec>
void fold_rows(const attention_block<Codec>& block, const visit_list& plan,
               attention_state* state) {
  using namespace detail;
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  alignas(64) float score[R][tile_lanes];
  alignas(64) float rotated[max_head_dim * tile_lanes];  // touched only with `rotation`
  tile_reader<A, R, Codec> reader(block);

  const auto visits = plan.visits();
  for (std::size_t v = 0; v < visits.size(); ++v) {
    const tile_visit& visit = visits[v];
    const auto pieces = plan.pieces(visit);
    // The tile that is read next; probably, at the end of a split. It is asked for in time.
    const std::size_t next = v + 1 < visits.size() ? plan.pieces(visits[v + 1]).front().tile
                                                   : pieces.front().tile + std::size_t{1};
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
      if (block.rotation == nullptr) {
        reader.score(piece.tile, visit.variant, mask, next, score);
      } else {
        rotate_tile<A>(reader, piece.tile, block.head_dim, *block.rotation,
                       block.rank + piece.tile * tile_lanes, rotated);
        score_tile<A, R>(static_cast<const float*>(rotated), block.head_dim,
                         block.query[visit.variant].data(), mask, score, rotated);
      }
    }

    // Softmax: one max, one rescale, one sum by halving, for the rows that read anything here.
    float rescale[R];
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
        continue;
      }
      attention_state& s = state[r];
      const float m = s.m > largest ? s.m : largest;
      if (m != s.m) rescale[r] = simd::exp(s.m - m);  // else exactly 1
      simd::floats<A> weight[tile_registers<A>];
      for (std::size_t i = 0; i < tile_registers<A>; ++i) {
        float* at = score[r] + i * simd::lanes<A>;
        weight[i] = simd::exp<A>(simd::load<A>(at) - simd::broadcast<A>(m));
        simd::store<A>(at, weight[i]);
      }
      s.m = m;
      s.d = std::fma(s.d, rescale[r], simd::sum_halving<A>(weight));
    }
    reader.add_values(pieces, live, rescale, score, next, state);
  }
}

/// The same for any number of rows up to `max_block_rows`.
template <class A = simd::native, class Codec>
void fold(attention_block<Codec> block, const visit_list& plan, attention_state* state,
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
