// Paged layout: pages of one tile from one pool, shared by the forks of a stream until one of them
// writes.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/layout/concept.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Who holds which page. Pages have numbers; what lies in them is the store's business. One more
/// page, the spare one, is for who finds none: nobody holds it, and all may write to it. Several
/// threads may take and give back at once.
class page_pool {
 public:
  page_pool(arena_plan& plan, std::size_t pages)
      : holders_block_(plan.reserve<std::uint32_t>(pages)) {}
  void bind(const arena& memory) {
    holders_ = memory[holders_block_];
    left_ = static_cast<std::size_t>(std::ranges::count(holders_, 0u));
  }

  std::size_t pages() const { return holders_.size(); }
  std::size_t left() const { return left_; }
  std::uint32_t spare() const { return static_cast<std::uint32_t>(pages()); }

  /// The first page from `wish` on that nobody holds, for one holder; the spare one if there is
  /// none. O(pages held one behind the other).
  std::uint32_t take(std::size_t wish) {
    std::size_t page = wish % pages();
    for (std::size_t seen = 0; seen < pages(); ++seen, page = page + 1 < pages() ? page + 1 : 0)
      if (std::uint32_t nobody = 0; holders(page).load(std::memory_order_relaxed) == nobody &&
                                    holders(page).compare_exchange_strong(nobody, 1)) {
        --left_;
        return static_cast<std::uint32_t>(page);
      }
    return spare();
  }
  void share(std::uint32_t page) {
    if (page != spare()) ++holders(page);
  }
  bool is_shared(std::uint32_t page) const { return page != spare() && holders(page) > 1; }
  void give_back(std::uint32_t page) {
    if (page != spare() && --holders(page) == 0) ++left_;
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

  std::uint32_t page(std::size_t head_index, std::size_t tile) const {
    return entry(head_index, tile).load(relaxed);
  }
  void set_page(std::size_t head_index, std::size_t tile, std::uint32_t page) const {
    entry(head_index, tile).store(page, relaxed);
  }
  /// The page of a pool that a tile would best lie in: behind the tile before it, since memory is
  /// read fastest in one go (disorder costs a tenth of attention); where there is none, in the
  /// KV head's share of the pool.
  std::size_t wish(std::size_t head_index, std::size_t tile, std::size_t pages) const {
    if (tile > 0)
      if (const std::uint32_t before = page(head_index, tile - 1); before != no_page)
        return before + 1;
    return head_index * pages / total_kv_heads() + tile;
  }
  /// Pages of what is read behind a tile: of the next two of the KV head, then of the next KV
  /// head's first. Other threads may take and give back pages of the next KV head meanwhile; then,
  /// and behind the last, some page or other.
  std::array<std::uint32_t, 2> pages_behind(std::size_t head_index, std::size_t tile) const {
    std::array<std::uint32_t, 2> found;
    std::uint32_t last = page(head_index, tile);
    for (std::uint32_t& p : found) {
      std::uint32_t next = page_or_none(head_index, tile + 1);
      if (next != no_page)
        ++tile;
      else if (next = page_or_none(head_index + 1, 0); next != no_page)
        ++head_index, tile = 0;
      if (next != no_page) last = next;
      p = last;
    }
    return found;
  }
  std::span<std::uint32_t> entries() const { return table_; }

 private:
  static constexpr auto relaxed = std::memory_order_relaxed;

  std::size_t total_kv_heads() const { return first_.size() - 1; }
  std::atomic_ref<std::uint32_t> entry(std::size_t head_index, std::size_t tile) const {
    return std::atomic_ref(table_[first_[head_index] + tile]);
  }
  std::uint32_t page_or_none(std::size_t head_index, std::size_t tile) const {
    return head_index < total_kv_heads() && tile < first_[head_index + 1] - first_[head_index]
               ? page(head_index, tile)
               : no_page;
  }

  arena_plan::block<std::uint32_t> first_block_, table_block_;
  std::span<std::uint32_t> first_;  // [head_index + 1]
  std::span<std::uint32_t> table_;  // [head_index, tile] page, or no_page
};

}  // namespace weir::inline WEIR_TARGET
