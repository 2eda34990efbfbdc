// Paged layout: pages of one tile from one pool, shared by the forks of a stream until one of them
// writes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/layout/concept.hpp>
#include <weir/core/arena.hpp>

namespace weir {

/// Who holds which page. Pages have numbers; what lies in them is the store's business. Several
/// threads may take and give back at once.
class page_pool {
 public:
  page_pool(arena_plan& plan, std::size_t pages)
      : holders_block_(plan.reserve<std::uint32_t>(pages)) {}
  void bind(const arena& memory) {
    holders_ = memory[holders_block_];
    left_ = holders_.size();
  }

  std::size_t pages() const { return holders_.size(); }
  std::size_t left() const { return left_; }

  /// The first page from `wish` on that nobody holds, for one holder. There must be one left.
  /// O(pages held one behind the other).
  std::uint32_t take(std::size_t wish) {
    for (std::size_t page = wish % pages();; page = page + 1 < pages() ? page + 1 : 0)
      if (std::uint32_t nobody = 0; holders(page).load(std::memory_order_relaxed) == nobody &&
                                    holders(page).compare_exchange_strong(nobody, 1)) {
        --left_;
        return static_cast<std::uint32_t>(page);
      }
  }
  void share(std::uint32_t page) { ++holders(page); }
  bool is_shared(std::uint32_t page) const { return holders(page) > 1; }
  void give_back(std::uint32_t page) {
    if (--holders(page) == 0) ++left_;
  }

 private:
  std::atomic_ref<std::uint32_t> holders(std::size_t page) const {
    return std::atomic_ref(holders_[page]);
  }

  arena_plan::block<std::uint32_t> holders_block_;
  std::span<std::uint32_t> holders_;  // [page]
  std::atomic<std::size_t> left_ = 0;
};

/// One stream's table of pages.
template <>
class page_map<layouts::paged> {
 public:
  page_map(arena_plan& plan, std::span<const std::size_t> tiles) {
    std::size_t entries = 0;
    for (const std::size_t n : tiles) entries += n;
    first_block_ = plan.reserve<std::uint32_t>(tiles.size() + 1);
    table_block_ = plan.reserve<std::uint32_t>(entries);
  }
  void bind(const arena& memory) {
    first_ = memory[first_block_];
    table_ = memory[table_block_];
  }
  void start(std::span<const std::size_t> tiles) {
    for (std::size_t u = 0; u < tiles.size(); ++u)
      first_[u + 1] = first_[u] + static_cast<std::uint32_t>(tiles[u]);
    for (std::uint32_t& page : table_) page = no_page;
  }

  struct tile_of_unit {
    std::size_t unit, tile;
  };
  std::uint32_t page(std::size_t unit, std::size_t tile) const { return entry(unit, tile); }
  std::uint32_t page(tile_of_unit at) const { return entry(at.unit, at.tile); }
  /// The page of a pool that a tile would best lie in: behind the tile before it, since memory is
  /// read fastest in one go (disorder costs a tenth of attention); where there is none, in the
  /// unit's share of the pool.
  std::size_t wish(std::size_t unit, std::size_t tile, std::size_t pages) const {
    if (tile > 0 && entry(unit, tile - 1) != no_page) return entry(unit, tile - 1) + 1;
    return unit * pages / (first_.size() - 1) + tile;
  }
  /// What lies behind a tile: the next of the unit, the next unit's first, or nothing else.
  tile_of_unit after(tile_of_unit at) const {
    if (holds({at.unit, at.tile + 1})) return {at.unit, at.tile + 1};
    return holds({at.unit + 1, 0}) ? tile_of_unit{at.unit + 1, 0} : at;
  }
  std::uint32_t& entry(std::size_t unit, std::size_t tile) const {
    return table_[first_[unit] + tile];
  }
  std::span<std::uint32_t> entries() const { return table_; }

 private:
  bool holds(tile_of_unit at) const {
    return at.unit + 1 < first_.size() && at.tile < first_[at.unit + 1] - first_[at.unit] &&
           page(at) != no_page;
  }

  arena_plan::block<std::uint32_t> first_block_, table_block_;
  std::span<std::uint32_t> first_;  // [unit + 1]
  std::span<std::uint32_t> table_;  // [unit, tile] page, or no_page
};

}  // namespace weir
