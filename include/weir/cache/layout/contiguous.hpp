// Contiguous layout: a KV head's tiles lie side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/cache/layout/concept.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

template <>
class page_map<layouts::contiguous> {
 public:
  /// `tiles` `[head_index]`: how many each KV head may ever need.
  page_map(arena_plan& plan, std::span<const std::size_t> tiles)
      : block_(plan.reserve<std::uint32_t>(tiles.size() + 1)) {
    for (const std::size_t n : tiles) pages_ += n;
  }
  void bind(const arena& memory) { first_ = memory[block_]; }
  void start(std::span<const std::size_t> tiles) {
    for (std::size_t u = 0; u < tiles.size(); ++u)
      first_[u + 1] = first_[u] + static_cast<std::uint32_t>(tiles[u]);
  }

  std::size_t pages() const { return pages_; }
  std::uint32_t page(std::size_t head_index, std::size_t tile) const {
    return first_[head_index] + static_cast<std::uint32_t>(tile);
  }

 private:
  std::size_t pages_ = 0;
  arena_plan::block<std::uint32_t> block_;
  std::span<std::uint32_t> first_;  // [head_index + 1] page of the KV head's first tile
};

}  // namespace weir::inline WEIR_TARGET
