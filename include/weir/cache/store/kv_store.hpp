// Where keys and values lie. No policy in its type: it is told which tiles to write and to read.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/layout/contiguous.hpp>
#include <weir/cache/layout/paged.hpp>
#include <weir/cache/placement/tile_place.hpp>
#include <weir/cache/retention/recent_keys.hpp>
#include <weir/cache/store/kv_scales.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/attention_kernels.hpp>
#include <weir/kernels/key_kernels.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/simd/prefetch.hpp>
#include <weir/simd/scalar.hpp>

namespace weir::inline WEIR_TARGET {

/// `Layout` says where tiles lie.
template <kv_codec Codec, layout_policy Layout = layouts::contiguous, class A = simd::preferred>
class kv_store {
  using tiles = kv_tiles<Codec>;
  using storage = typename tiles::storage;

  /// The pages, the spare one behind them, and who holds them: shared by the forks of a stream.
  struct pool {
    arena_plan plan;
    page_pool pages;
    arena_plan::block<storage> keys, values;
    arena memory;

    pool(const kv_shape& shape, std::size_t count)
        : pages(plan, count),
          keys(plan.reserve<storage>(count + 1, tiles::key_size(shape.head_dim))),
          values(plan.reserve<storage>(count + 1, tiles::value_size(shape.head_dim))) {}
    /// Another pool with the same contents.
    pool(const pool& other)
        : pages(plan, other.pages.pages()),
          keys(plan.reserve<storage>(other.keys.count)),
          values(plan.reserve<storage>(other.values.count)),
          memory(other.memory.copy()) {
      pages.bind(memory);
    }
    void allocate() {
      memory = arena(plan);
      pages.bind(memory);
    }
  };

 public:
  /// `tile_counts` `[head_index]`: the most tiles that each KV head may have; `pages`: the most
  /// they may have at once, where pages are taken and given back; `recent`: keys of each KV head,
  /// the newest, that are read again soon.
  kv_store(arena_plan& plan, const kv_shape& shape, std::vector<std::size_t> tile_counts,
           std::size_t pages, std::size_t recent = 0, kv_scales scales = {});
  /// Throws error::bad_config for more pages than numbers of 32 bits tell apart.
  void require_numbered() const {
    std::size_t used = 0, pages = 0;
    for (const std::size_t n : tile_counts_) used += n;
    if constexpr (Layout::pages_taken) pages = pool_->keys.count / tiles::key_size(shape_.head_dim);
    error::require<error::bad_config>(
        std::max(used, pages) < no_page, "keep: ", std::max(used, pages), " tiles of ", tile_lanes,
        " entries over all heads (expected fewer than ", no_page, ")");
  }
  /// Bytes beside the plan's: those of the pool.
  std::size_t pool_bytes() const {
    if constexpr (Layout::pages_taken) return pool_->plan.bytes();
    return 0;
  }
  /// Bytes of the plan up to the end of the table of pages: what follows is room to work in.
  std::size_t table_end() const { return table_end_; }
  /// Finds its memory; `start` or `share` follows.
  void bind(const arena& memory);
  void start() { map_.start(tile_counts_); }
  /// Before it finds its memory: it is the copy of another store, and takes a copy of the pool.
  void copy_pool() {
    if constexpr (Layout::pages_taken) pool_ = std::make_shared<pool>(*pool_);
  }
  /// The memory, and so the table of pages, is a copy of another store's: both hold them now.
  void share() {
    if constexpr (Layout::pages_taken)
      for (const std::uint32_t page : map_.entries())
        if (page != no_page) pool_->pages.share(page);
  }

  // ---- pages -----------------------------------------------------------------------------------

  /// Before a tile is written: it gets a page of its own. Units may do so on several threads.
  void prepare_to_write(std::size_t head_index, std::size_t tile) {
    if constexpr (Layout::pages_taken) {
      const std::uint32_t page = map_.page(head_index, tile);
      if (page == no_page) {
        take_page(head_index, tile);
      } else if (pool_->pages.is_shared(page)) {
        const std::uint32_t own = take_page(head_index, tile);
        const std::size_t k = tiles::key_size(shape_.head_dim),
                          v = tiles::value_size(shape_.head_dim);
        std::copy_n(keys_.data() + page * k, k, keys_.data() + own * k);
        std::copy_n(values_.data() + page * v, v, values_.data() + own * v);
        pool_->pages.give_back(page);
      }
    }
  }
  /// Nothing in the tile lives any more.
  void give_back(std::size_t head_index, std::size_t tile) {
    if constexpr (Layout::pages_taken) {
      const std::uint32_t page = map_.page(head_index, tile);
      if (page == no_page) return;
      map_.set_page(head_index, tile, no_page);
      pool_->pages.give_back(page);
    }
  }
  /// Gives every page back.
  void clear() {
    if constexpr (Layout::pages_taken)
      for (std::uint32_t& page : map_.entries())
        if (page != no_page) pool_->pages.give_back(std::exchange(page, no_page));
    ran_dry_ = false;
  }
  /// True if a tile found no page to be written to: what it held is lost.
  bool ran_dry() const { return ran_dry_; }
  /// Pages that can still be taken, where other streams take from the same pool.
  std::size_t pages_left() const {
    if constexpr (Layout::pages_taken)
      if (pool_.use_count() > 1) return pool_->pages.left();
    return std::numeric_limits<std::size_t>::max();
  }
  /// Pages that writing to `count` tiles of each KV head may take at most.
  std::size_t pages_for(std::size_t count) const {
    std::size_t n = 0;
    for (const std::size_t most : tile_counts_) n += std::min(count, most);
    return n;
  }
  /// True if both take their pages from one pool.
  bool shares_pool_with(const kv_store& other) const { return pool_ == other.pool_; }
  /// Pages that hold this stream's tiles.
  std::size_t pages_held() const {
    if constexpr (Layout::pages_taken) {
      std::size_t n = 0;
      for (const std::uint32_t page : map_.entries()) n += page != no_page;
      return n;
    } else {
      return map_.pages();
    }
  }

  // ---- entries ---------------------------------------------------------------------------------

  /// Encodes one token's key and value `[head_dim]` for one KV head. Returns how many of their
  /// numbers were cut to the largest that the codec holds.
  std::size_t write(std::size_t layer, std::size_t head, tile_place at, const float* key,
                    const float* value) {
    const std::size_t u = head_index(layer, head), p = page(u, at.tile), dim = shape_.head_dim;
    float room[max_head_dim];
    storage* copy = nullptr;
    if constexpr (storage_number<Codec>) copy = recent_.add(u, at);
    return lanes().encode_key(key_page(p), at.lane, divided(key, dim, scales_.key(u), room), dim,
                              shape_.rope, copy) +
           lanes().encode_value(value_page(p), at.lane, divided(value, dim, scales_.value(u), room),
                                dim);
  }
  /// What stored keys and values of a KV head are multiplied with to be what was written.
  float key_scale(std::size_t layer, std::size_t head) const {
    return scales_.key(head_index(layer, head));
  }
  float value_scale(std::size_t layer, std::size_t head) const {
    return scales_.value(head_index(layer, head));
  }
  void copy(std::size_t layer, std::size_t head, tile_place from, tile_place to) {
    const std::size_t dim = shape_.head_dim, source = page(head_index(layer, head), from.tile),
                      target = page(head_index(layer, head), to.tile);
    recent_.forget(head_index(layer, head), to);
    tiles::copy_key(key_page(source), from.lane, key_page(target), to.lane, dim);
    tiles::copy_value(value_page(source), from.lane, value_page(target), to.lane, dim);
  }
  /// Decodes a key `[head_dim]` as it lies.
  void read_key(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    const std::size_t u = head_index(layer, head), dim = shape_.head_dim;
    const storage* copy = nullptr;
    if constexpr (storage_number<Codec>) copy = recent_.find(u, at);
    if (copy != nullptr)
      lanes().decode(copy, dim, out);
    else
      lanes().decode_key(key_page(page(u, at.tile)), dim, at.lane, out);
    multiply(out, dim, scales_.key(u));
  }
  /// Decodes a value `[head_dim]`.
  void read_value(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    const std::size_t u = head_index(layer, head);
    lanes().decode_value(value_page(page(u, at.tile)), shape_.head_dim, at.lane, out);
    multiply(out, shape_.head_dim, scales_.value(u));
  }

  /// Asks for a value that is read soon.
  void prefetch_value(std::size_t layer, std::size_t head, tile_place at) const {
    if constexpr (storage_number<Codec>) {
      const std::size_t n = padded_head_dim(shape_.head_dim);
      const storage* const value = value_page(page(head_index(layer, head), at.tile)) + at.lane * n;
      for (std::size_t i = 0; i < n * sizeof(storage); i += cache_line) simd::prefetch(value, i);
    }
  }

  /// Dot products of the keys in tiles 0 … tile_count − 1 with vectors `[n, head_dim]`: `out`
  /// `[n, tile, 32]`, whatever lies in a lane.
  void dots(std::size_t layer, std::size_t head, std::size_t tile_count, const float* vectors,
            std::size_t n, float* out) const {
    const std::size_t stride = tile_count * tile_lanes;
    block_type block = block_of(layer, head);
    const auto at = places_in_block(head_index(layer, head), tile_count);
    for (std::size_t first = 0; first < n; first += max_block_rows) {
      const std::size_t rows = std::min(max_block_rows, n - first);
      for (std::size_t r = 0; r < max_block_rows; ++r)
        block.query[0][r] = vectors + (first + std::min(r, rows - 1)) * shape_.head_dim;
      all_keys().dots(block, tile_count, at, rows, out + first * stride, stride);
    }
    multiply(out, n * stride, key_scale(layer, head));
  }
  /// Σ weight[slot] · key over the slots whose weight is not 0: `out` `[head_dim]`. `sum`
  /// `[head_dim, 16]` is lost.
  void weighted_keys(std::size_t layer, std::size_t head, std::size_t tile_count,
                     const float* weight, float* sum, float* out) const {
    const block_type block = block_of(layer, head);
    std::fill_n(sum, shape_.head_dim * key_sum_lanes, 0.0f);
    const auto at = places_in_block(head_index(layer, head), tile_count);
    all_keys().add_weighted(block, tile_count, at, weight, sum);
    for (std::size_t k = 0; k < shape_.head_dim; ++k)
      out[k] = simd::sum_halving(sum + k * key_sum_lanes, key_sum_lanes);
    multiply(out, shape_.head_dim, key_scale(layer, head));
  }

  /// Of each of `keys` the most similar one in tiles 0 … tile_count − 1: see
  /// key_kernels::most_similar.
  void most_similar(std::size_t layer, std::size_t head, std::size_t tile_count,
                    const float* inverse_norm, const unit_keys& keys, similar_key* out) const {
    const auto at = places_in_block(head_index(layer, head), tile_count);
    all_keys().most_similar(block_of(layer, head), tile_count, at, inverse_norm, keys, out);
  }

  using codec = Codec;
  using block_type = attention_block<Codec>;
  const kv_shape& shape() const { return shape_; }
  /// A KV head's tiles, with neither queries nor masks. Where they lie side by side they are
  /// counted from its first.
  block_type block_of(std::size_t layer, std::size_t head) const {
    const std::size_t base = Layout::pages_taken ? 0 : page(head_index(layer, head), 0);
    return {.keys = key_page(base),
            .values = value_page(base),
            .head_dim = shape_.head_dim,
            .key_scale = key_scale(layer, head)};
  }
  /// Tells a plan's visits where their tiles lie, and what is read after them: the tiles that
  /// follow, the next head's behind the last.
  void find_pages(std::size_t layer, std::size_t head, visit_list& plan) const {
    if (plan.visits().empty()) return;
    const std::uint32_t last = plan.last_tile();
    if constexpr (Layout::pages_taken) {
      const std::size_t u = head_index(layer, head);
      plan.find_pages([&](std::size_t t) { return map_.page(u, t); });
      plan.go_on_at(map_.pages_behind(u, last));
    } else {
      plan.go_on_at({last + 1, last + 2});
    }
  }

 private:
  static const attention_kernels<Codec>& lanes() { return kernels<attention_kernels<Codec>, A>(); }
  static const key_kernels<Codec>& all_keys() { return kernels<key_kernels<Codec>, A>(); }

  std::size_t head_index(std::size_t layer, std::size_t head) const {
    return layer * shape_.kv_heads + head;
  }
  std::size_t page(std::size_t head_index, std::size_t tile) const {
    return map_.page(head_index, tile);
  }
  std::uint32_t take_page(std::size_t head_index, std::size_t tile)
    requires Layout::pages_taken
  {
    const std::uint32_t page = pool_->pages.take(map_.wish(head_index, tile, pool_->pages.pages()));
    if (page == pool_->pages.spare())
      std::atomic_ref(ran_dry_).store(true, std::memory_order_relaxed);
    map_.set_page(head_index, tile, page);
    return page;
  }
  storage* key_page(std::size_t page) const {
    return keys_.data() + page * tiles::key_size(shape_.head_dim);
  }
  storage* value_page(std::size_t page) const {
    return values_.data() + page * tiles::value_size(shape_.head_dim);
  }
  /// Where the first `count` tiles of a KV head lie in its block, and what to read ahead behind
  /// them.
  auto places_in_block(std::size_t head_index, std::size_t count) const {
    return [this, head_index, count](std::size_t tile) -> std::size_t {
      if constexpr (!Layout::pages_taken) return tile;
      const std::size_t p = page(head_index, std::min(tile, count - 1));
      return p != no_page ? p : 0;  // any page will do where nothing lives
    };
  }

  kv_shape shape_;
  std::vector<std::size_t> tile_counts_;  // [head_index]
  kv_scales scales_;
  recent_keys<storage> recent_;
  page_map<Layout> map_;
  std::size_t table_end_;
  bool ran_dry_ = false;
  std::shared_ptr<pool> pool_;  // where pages are taken
  arena_plan::block<storage> keys_block_, values_block_;
  std::span<storage> keys_;    // [page, key_size]
  std::span<storage> values_;  // [page, value_size]
};

// Not inline, so that who declares an instance extern does not compile them.

template <kv_codec Codec, layout_policy Layout, class A>
kv_store<Codec, Layout, A>::kv_store(arena_plan& plan, const kv_shape& shape,
                                     std::vector<std::size_t> tile_counts, std::size_t pages,
                                     std::size_t recent, kv_scales scales)
    : shape_(shape),
      tile_counts_(std::move(tile_counts)),
      scales_(std::move(scales)),
      recent_(plan, shape.total_kv_heads(), storage_number<Codec> ? recent : 0, shape.head_dim),
      map_(plan, tile_counts_),
      table_end_(plan.bytes()) {
  if constexpr (Layout::pages_taken) {
    pool_ = std::make_shared<pool>(shape, pages);
  } else {
    keys_block_ = plan.reserve<storage>(map_.pages(), tiles::key_size(shape.head_dim));
    values_block_ = plan.reserve<storage>(map_.pages(), tiles::value_size(shape.head_dim));
  }
}

template <kv_codec Codec, layout_policy Layout, class A>
void kv_store<Codec, Layout, A>::bind(const arena& memory) {
  recent_.bind(memory);
  map_.bind(memory);
  if constexpr (Layout::pages_taken) {
    if (pool_->memory.bytes() == 0) pool_->allocate();
    keys_ = pool_->memory[pool_->keys];
    values_ = pool_->memory[pool_->values];
  } else {
    keys_ = memory[keys_block_];
    values_ = memory[values_block_];
  }
}

}  // namespace weir::inline WEIR_TARGET
