// Online-softmax attention over tiles, for decode and prefill alike: R packed query rows share
// each reading of a key or a value. Bits are those of reference/attention.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/cpu/integer_tiles.hpp>
#include <weir/kernels/cpu/number_tiles.hpp>
#include <weir/simd/row_reductions.hpp>
#include <weir/simd/simd.hpp>

namespace weir::inline WEIR_TARGET::cpu {

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

/// The online softmax of R rows, side by side: a row's m and d are a lane each.
template <class A, std::size_t R>
class softmax_rows {
 public:
  static constexpr float lowest = -std::numeric_limits<float>::infinity();

  explicit softmax_rows(const attention_state* state) {
    for (std::size_t r = 0; r < R; ++r) {
      m_[r] = state[r].m;
      d_[r] = state[r].d;
    }
  }
  void leave(attention_state* state) const {
    for (std::size_t r = 0; r < R; ++r) {
      state[r].m = m_[r];
      state[r].d = d_[r];
    }
  }

  /// Turns the scores of a tile into weights exp(score − m), m being the largest score so far. A
  /// row that reads nothing of the tile changes nothing. A score that is NaN makes d and o NaN; it
  /// is no largest score.
  void weigh(float (*score)[tile_lanes], const std::uint32_t* live, std::size_t place,
             const raw_attention* raw) {
    simd::floats<A> top[R];
    for (std::size_t r = 0; r < R; ++r) {
      top[r] = simd::load<A>(score[r]);
      for (std::size_t i = simd::lanes<A>; i < tile_lanes; i += simd::lanes<A>)
        top[r] = simd::max<A>(top[r], simd::load<A>(score[r] + i));
    }
    simd::max_rows<A>(top, largest_);
    for (std::size_t i = 0; i < R; i += simd::lanes<A>) {
      const auto before = simd::load<A>(m_ + i), largest = simd::load<A>(largest_ + i);
      const auto m = xsimd::select(largest > before, largest, before);
      simd::store<A>(m_ + i, m);
      simd::store<A>(rescale_ + i, xsimd::select(m == before, simd::broadcast<A>(1.0f),
                                                 simd::exp<A>(before - m)));
    }

    simd::floats<A> sum[R];
    for (std::size_t r = 0; r < R; ++r) {
      sum[r] = simd::broadcast<A>(0.0f);
      if (live[r] == 0) continue;
      m_[r] = std::max(m_[r], attention_state::lowest_read);
      const raw_attention& out = raw[r];
      simd::floats<A> weight[tile_registers<A>];
      for (std::size_t i = 0; i < tile_registers<A>; ++i) {
        const std::size_t at = i * simd::lanes<A>;
        const auto x = simd::load<A>(score[r] + at);
        weight[i] = simd::exp<A>(x - simd::broadcast<A>(m_[r]));
        simd::store<A>(score[r] + at, weight[i]);
        if (out.raw_scores != nullptr) simd::store<A>(out.raw_scores + place * tile_lanes + at, x);
        if (out.raw_weights != nullptr)
          simd::store<A>(out.raw_weights + place * tile_lanes + at, weight[i]);
      }
      if (out.largest != nullptr) out.largest[place] = m_[r];
      sum[r] = simd::halve_registers<A>(weight);
    }
    simd::sum_rows<A>(sum, total_);
    for (std::size_t i = 0; i < R; i += simd::lanes<A>) {
      const auto d = simd::load<A>(d_ + i);
      simd::store<A>(d_ + i,
                     simd::fma<A>(d, simd::load<A>(rescale_ + i), simd::load<A>(total_ + i)));
    }
  }

  /// What weights given so far are worth since then, [row]; exactly 1 where m stayed.
  const float* rescale() const { return rescale_; }

 private:
  static constexpr std::size_t numbers = simd::row_numbers<A, R>;
  alignas(64) float m_[numbers] = {};
  alignas(64) float d_[numbers] = {};
  alignas(64) float rescale_[numbers];
  alignas(64) float largest_[numbers] = {};  // of a tile
  alignas(64) float total_[numbers] = {};    // its weights
};

}  // namespace detail

/// Folds the visits of one split into the states of R packed rows, R of {1, 2, 4, 8}.
/// Reads each live key and value once for all R. O(visits · 32 · head_dim · R).
template <class A, std::size_t R, class Codec>
void fold_rows(const attention_block<Codec>& block, const visit_list& plan,
               attention_state* state) {
  using namespace detail;
  alignas(64) float score[R][tile_lanes];
  alignas(64) float rotated[max_head_dim * tile_lanes];  // touched only with `rotation`
  softmax_rows<A, R> softmax(state);
  tile_reader<A, R, Codec> reader(block);

  const auto visits = plan.visits();
  for (std::size_t v = 0; v < visits.size(); ++v) {
    const tile_visit& visit = visits[v];
    const auto pieces = plan.pieces(visit);
    const pages_ahead ahead{plan.page(v + 1), plan.page(v + 2)};
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t i = 0; i < tile_lanes; i += simd::lanes<A>)
        simd::store<A>(score[r] + i, simd::broadcast<A>(softmax.lowest));

    // Scores: every physical tile apart, blended into one vector of 32 lanes.
    std::uint32_t live[R] = {};
    for (const visit_piece& piece : pieces) {
      std::uint32_t mask[R];
      for (std::size_t r = 0; r < R; ++r) {
        mask[r] = piece.live[block.step_row[r]];
        live[r] |= mask[r];
      }
      if (block.rotation == nullptr) {
        reader.score(piece.page, visit.variant, mask, ahead, score);
      } else {
        rotate_tile<A>(reader, piece.page, block.head_dim, *block.rotation,
                       block.rank + piece.tile * tile_lanes, rotated);
        score_tile<A, R>(static_cast<const float*>(rotated), block.head_dim,
                         block.query[visit.variant].data(), mask, score, {rotated, rotated});
      }
    }

    softmax.weigh(score, live, visit.place, block.raw.data());
    reader.add_values(pieces, live, softmax.rescale(), score, ahead, state);
  }
  softmax.leave(state);
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
    std::shift_left(block.raw.begin(), block.raw.end(), static_cast<std::ptrdiff_t>(some));
    std::shift_left(block.step_row.begin(), block.step_row.end(),
                    static_cast<std::ptrdiff_t>(some));
  }
}

}  // namespace weir::inline WEIR_TARGET::cpu
