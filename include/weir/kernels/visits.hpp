// What a row of attention reads, in the order in which it is folded.
//
// A tile is 32 consecutive addresses of one KV head; kernels/kv_tiles.hpp says how it lies. 16
// tiles (512 addresses) with equal (tile number div 16) are a split. Both are units of *folding*:
// they fix which number is added to which, on every SIMD width and thread count, and so the bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

inline constexpr std::size_t tile_lanes = 32;
/// Sums over keys have fewer: as many floats as a line of the caches holds, so that they stay near
/// beside a tile that is read and the next one.
inline constexpr std::size_t key_sum_lanes = 16;
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

}  // namespace weir::inline WEIR_TARGET
