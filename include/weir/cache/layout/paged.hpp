// Paged layout: pages of one tile from one pool, shared by the forks of a stream until one of them
// writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/layout/concept.hpp>
#include <weir/core/arena.hpp>

namespace weir {

/// Who holds which page. Pages have numbers; what lies in them is the store's business.
class page_pool {
 public:
  page_pool(arena_plan& plan, std::size_t pages)
      : holders_block_(plan.reserve<std::uint32_t>(pages)),
        free_block_(plan.reserve<std::uint32_t>(pages)) {}
  void bind(const arena& memory) {
    holders_ = memory[holders_block_];
    free_ = memory[free_block_];
    left_ = free_.size();
    for (std::size_t i = 0; i < left_; ++i)  // low numbers go first
      free_[i] = static_cast<std::uint32_t>(left_ - 1 - i);
  }

  std::size_t pages() const { return holders_.size(); }
  std::size_t left() const { return left_; }

  /// A page for one holder. There must be one left. O(1).
  std::uint32_t take() {
    const std::uint32_t page = free_[--left_];
    holders_[page] = 1;
    return page;
  }
  void share(std::uint32_t page) { ++holders_[page]; }
  bool is_shared(std::uint32_t page) const { return holders_[page] > 1; }
  void give_back(std::uint32_t page) {
    if (--holders_[page] == 0) free_[left_++] = page;
  }

 private:
  arena_plan::block<std::uint32_t> holders_block_, free_block_;
  std::span<std::uint32_t> holders_;  // [page]
  std::span<std::uint32_t> free_;     // the first `left_`: pages nobody holds
  std::size_t left_ = 0;
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
