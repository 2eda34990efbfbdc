// What every attention kernel shares: tiles, visits, and the online-softmax state.
//
// A tile is 32 consecutive addresses of one KV head; kernels/kv_tiles.hpp says how it lies. 16
// tiles (512 addresses) with equal (tile number div 16) are a split. Both are units of *folding*:
// they fix which number is added to which, on every SIMD width and thread count, and so the bits.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/kernels/kv_tiles.hpp>
#include <weir/simd/simd.hpp>

namespace weir {

inline constexpr std::size_t split_tiles = 16;
inline constexpr std::size_t split_lanes = tile_lanes * split_tiles;

/// A query may be rotated differently for different runs of keys: see positions::within_cache.
inline constexpr std::size_t query_variants = 2;

/// Query rows that share one reading of a tile: (rows of the step) × (query heads of a KV head).
inline constexpr std::size_t max_block_rows = 8;

/// A physical tile, and which of its lanes each step row of the block reads.
struct visit_piece {
  std::uint32_t tile = 0;                               ///< physical tile within the KV head
  std::uint32_t page = 0;                               ///< where in the store that tile lies
  std::array<std::uint32_t, max_block_rows> live = {};  ///< [step row of the block]
};

/// One fold: the lanes of one tile number, from however many physical tiles.
struct tile_visit {
  std::uint16_t first_piece = 0;
  std::uint16_t pieces = 0;
  std::uint8_t variant = 0;  ///< which query to use
  std::uint8_t place = 0;    ///< tile number within the split
};

/// The visits of one split for one block of step rows, in fold order. Lives on the stack.
class visit_list {
 public:
  void clear() { visits_ = pieces_ = 0; }

  /// Opens a visit; the pieces added next belong to it.
  void open(std::uint8_t variant, std::size_t place = 0) {
    visit_[visits_++] = {static_cast<std::uint16_t>(pieces_), 0, variant,
                         static_cast<std::uint8_t>(place)};
  }
  /// The piece of `tile` in the open visit, made if it is not there yet.
  visit_piece& piece(std::uint32_t tile) {
    tile_visit& v = visit_[visits_ - 1];
    for (std::size_t i = v.first_piece; i < pieces_; ++i)
      if (piece_[i].tile == tile) return piece_[i];
    ++v.pieces;
    piece_[pieces_] = {tile, tile, {}};
    return piece_[pieces_++];
  }
  /// Drops the open visit if no row reads anything in it.
  void drop_if_empty() {
    const tile_visit& v = visit_[visits_ - 1];
    for (std::size_t i = v.first_piece; i < pieces_; ++i)
      for (const std::uint32_t live : piece_[i].live)
        if (live != 0) return;
    pieces_ = v.first_piece;
    --visits_;
  }

  /// Says where tiles lie: `page(tile)`.
  template <class Page>
  void find_pages(Page page) {
    for (std::size_t i = 0; i < pieces_; ++i) piece_[i].page = page(piece_[i].tile);
  }
  /// Says where the reader goes on behind the last visit: what it may ask for meanwhile.
  void go_on_at(std::array<std::uint32_t, 2> pages) { behind_ = pages; }
  /// The page of visit v, which may be one of the two behind the last.
  std::uint32_t page(std::size_t v) const {
    return v < visits_ ? piece_[visit_[v].first_piece].page : behind_[v - visits_];
  }
  /// The tile that the last visit reads; there must be one.
  std::uint32_t last_tile() const { return piece_[visit_[visits_ - 1].first_piece].tile; }

  std::span<const tile_visit> visits() const { return {visit_.data(), visits_}; }
  std::span<const visit_piece> pieces(const tile_visit& v) const {
    return {piece_.data() + v.first_piece, v.pieces};
  }

  /// Most provisional rows outside their home tile that one step may hold.
  static constexpr std::size_t max_siblings = 64;

 private:
  static constexpr std::size_t max_visits = split_tiles * query_variants;
  std::array<tile_visit, max_visits> visit_;
  std::array<visit_piece, max_visits + max_siblings> piece_;
  std::size_t visits_ = 0, pieces_ = 0;
  std::array<std::uint32_t, 2> behind_ = {};
};

/// The online-softmax state of one row: everything attention has seen, in a form that merges.
/// Milakov & Gimelshein, arXiv 1805.02867; FlashAttention, arXiv 2205.14135.
struct attention_state {
  float m = -std::numeric_limits<float>::infinity();  ///< largest score, nats
  float d = 0;                                        ///< Σ exp(score − m)
  float* o = nullptr;                                 ///< Σ exp(score − m) · value [padded]

  /// True for the identity of `merge`: nothing was read.
  bool empty() const { return m == -std::numeric_limits<float>::infinity(); }
};

/// into = into ⊕ from, over `n` elements of output. Associative up to rounding; callers merge
/// splits in rising order, which fixes the rounding too. Merging an empty state changes no bit.
template <class A = simd::native>
void merge(attention_state& into, const attention_state& from, std::size_t n) {
  if (from.empty()) return;
  if (into.empty()) {
    into.m = from.m;
    into.d = from.d;
    for (std::size_t i = 0; i < n; ++i) into.o[i] = from.o[i];
    return;
  }
  const float m = into.m > from.m ? into.m : from.m;
  const float a = simd::exp(into.m - m), b = simd::exp(from.m - m);
  into.m = m;
  into.d = std::fma(from.d, b, into.d * a);
  const auto va = simd::broadcast<A>(a), vb = simd::broadcast<A>(b);
  for (std::size_t i = 0; i < n; i += simd::lanes<A>)
    simd::store<A>(into.o + i,
                   simd::fma<A>(simd::load<A>(from.o + i), vb, simd::load<A>(into.o + i) * va));
}

/// out = o / d over `head_dim` elements; zeros for a row that read nothing.
inline void finish(const attention_state& state, float* out, std::size_t head_dim) {
  const float inverse = state.d > 0 ? 1.0f / state.d : state.d == 0 ? 0.0f : state.d;
  for (std::size_t i = 0; i < head_dim; ++i) out[i] = state.o[i] * inverse;
}

/// Turns raw keys as they are read, for caches whose keys are stored unrotated: lane l of a tile
/// is at rank[l], pair i of rank r has cosine `cos[i * stride + r]`.
struct rotate_on_read {
  const float* cos = nullptr;  ///< [pair, rank]
  const float* sin = nullptr;  ///< [pair, rank]
  std::size_t stride = 0;      ///< ranks a pair has
  std::size_t pairs = 0;
  bool interleaved = true;

  constexpr std::array<std::size_t, 2> elements(std::size_t i) const {
    if (interleaved) return {2 * i, 2 * i + 1};
    return {i, i + pairs};
  }
};

/// What one packed row hands out while it is folded, for those who judge tokens by the attention
/// they get. Of each tile that the row reads: the weights exp(score − largest so far) and that
/// largest score, or the scores themselves; 0 and −∞ in lanes it does not read.
struct attention_handout {
  float* weight = nullptr;   ///< [tile of the split, 32]; null: not wanted
  float* score = nullptr;    ///< [tile of the split, 32]; null: not wanted
  float* largest = nullptr;  ///< [tile of the split] null: nothing is wanted

  attention_handout of_split(std::size_t split) const {
    const auto moved = [split](float* at, std::size_t n) { return at ? at + split * n : nullptr; };
    return {moved(weight, split_lanes), moved(score, split_lanes), moved(largest, split_tiles)};
  }
};

/// One KV head's tiles and the packed query rows that read them.
template <class Codec>
struct attention_block {
  using tiles = kv_tiles<Codec>;
  using storage = typename tiles::storage;

  const storage* keys = nullptr;    ///< [page, key_size(head_dim)]
  const storage* values = nullptr;  ///< [page, value_size(head_dim)]
  std::size_t head_dim = 0;
  /// Scaled queries `[head_dim]` by variant and packed row.
  std::array<std::array<const float*, max_block_rows>, query_variants> query = {};
  /// Which step row of the block, and so which mask, a packed row belongs to.
  std::array<std::uint8_t, max_block_rows> step_row = {};
  std::array<attention_handout, max_block_rows> handout = {};  ///< by packed row
  const rotate_on_read* rotation = nullptr;                    ///< null: keys are read as they lie
  const std::uint32_t* rank = nullptr;  ///< [physical tile, 32], with `rotation`

  const storage* key_tile(std::size_t page) const {
    return keys + page * tiles::key_size(head_dim);
  }
  const storage* value_tile(std::size_t page) const {
    return values + page * tiles::value_size(head_dim);
  }
};

}  // namespace weir
