// Where keys and values lie, and the attention over them. No policy in its type: it is told which
// tiles to visit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/codec/concept.hpp>
#include <weir/cache/codec/encode.hpp>
#include <weir/cache/layout/contiguous.hpp>
#include <weir/cache/layout/paged.hpp>
#include <weir/cache/tile_place.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/cpu/attention.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir {

/// Where the rows of a job leave what they hand out; see attention_handout.
struct handout_memory {
  float* weight = nullptr;   ///< [kv_head, packed row, tile, 32]; null: not wanted
  float* score = nullptr;    ///< the same; null: not wanted
  float* largest = nullptr;  ///< [kv_head, packed row, tile]; null: nothing is wanted
  float* total = nullptr;    ///< [kv_head, packed row, 2] the row's m and d
  std::size_t tiles = 0;     ///< of a unit: a multiple of split_tiles
};

/// One layer's attention over rows whose keys and values are in the store.
struct attend_job {
  std::size_t layer = 0;
  std::size_t rows = 0;
  const float* query = nullptr;    ///< [variant, row, q_head, head_dim], rotated and scaled
  std::size_t variant_stride = 0;  ///< floats between variants
  float* out = nullptr;            ///< [row, q_head, head_dim]
  std::size_t most_entries = 0;    ///< a row reads no more: what the work is guessed from

  /// Splits that rows [first, last) of a KV head read, and the visits of the k-th of them.
  function_ref<std::size_t(std::size_t head, std::size_t first, std::size_t last)> splits;
  function_ref<void(std::size_t head, std::size_t first, std::size_t last, std::size_t k,
                    visit_list&)>
      plan;

  const rotate_on_read* rotation = nullptr;  ///< for keys stored unrotated
  const std::uint32_t* ranks = nullptr;      ///< [kv_head, rank_stride], with `rotation`
  std::size_t rank_stride = 0;
  handout_memory handout = {};  ///< with it, the k-th split is split number k
  /// Called for each KV head once its rows are attended, on the thread that did it if one did; what
  /// they handed out lies where that of KV head `place` would. Null: nobody.
  const function_ref<void(std::size_t head, std::size_t place)>* finished = nullptr;
};

/// `Layout` says where tiles lie.
template <kv_codec Codec, layout_policy Layout = layouts::contiguous, class A = simd::native>
class kv_store {
  using tiles = kv_tiles<Codec>;
  using storage = typename tiles::storage;

  /// The pages and who holds them: shared by the forks of a stream.
  struct pool {
    arena_plan plan;
    page_pool pages;
    arena_plan::block<storage> keys, values;
    arena memory;

    pool(const kv_shape& shape, std::size_t count)
        : pages(plan, count),
          keys(plan.reserve<storage>(count * tiles::key_size(shape.head_dim))),
          values(plan.reserve<storage>(count * tiles::value_size(shape.head_dim))) {}
    void allocate() {
      memory = arena(plan);
      pages.bind(memory);
    }
  };

 public:
  /// `tile_counts` `[unit]`: the most tiles that each unit may have; `pages`: the most they may
  /// have at once, where pages are taken and given back.
  kv_store(arena_plan& plan, const kv_shape& shape, std::vector<std::size_t> tile_counts,
           std::size_t pages, std::size_t most_splits)
      : shape_(shape),
        tile_counts_(std::move(tile_counts)),
        most_splits_(most_splits),
        padded_(padded_head_dim(shape.head_dim)),
        map_(plan, tile_counts_),
        table_end_(plan.bytes()) {
    if constexpr (Layout::pages_taken) {
      pool_ = std::make_shared<pool>(shape, pages);
    } else {
      keys_block_ = plan.reserve<storage>(map_.pages() * tiles::key_size(shape.head_dim));
      values_block_ = plan.reserve<storage>(map_.pages() * tiles::value_size(shape.head_dim));
    }
    partials_block_ = plan.reserve<float>(shape.kv_heads * shared_blocks() * most_splits *
                                          max_block_rows * partial_floats());
  }
  /// Bytes beside the plan's: those of the pool.
  std::size_t pool_bytes() const {
    if constexpr (Layout::pages_taken) return pool_->plan.bytes();
    return 0;
  }
  /// Bytes of the plan that lie before or in the table of pages: what follows is room to work in.
  std::size_t table_end() const { return table_end_; }
  /// Finds its memory; `start` or `share` follows.
  void bind(const arena& memory) {
    map_.bind(memory);
    if constexpr (Layout::pages_taken) {
      if (pool_->memory.bytes() == 0) pool_->allocate();
      keys_ = pool_->memory[pool_->keys];
      values_ = pool_->memory[pool_->values];
    } else {
      keys_ = memory[keys_block_];
      values_ = memory[values_block_];
    }
    partials_ = memory[partials_block_];
  }
  void start() { map_.start(tile_counts_); }
  /// The memory, and so the table of pages, is a copy of another store's: both hold them now.
  void share() {
    if constexpr (Layout::pages_taken)
      for (const std::uint32_t page : map_.entries())
        if (page != no_page) pool_->pages.share(page);
  }

  // ---- pages -----------------------------------------------------------------------------------

  /// Before a tile is written: it gets a page of its own. Not to be called from several threads.
  void prepare_to_write(std::size_t unit, std::size_t tile) {
    if constexpr (Layout::pages_taken) {
      std::uint32_t& page = map_.entry(unit, tile);
      if (page == no_page) {
        page = pool_->pages.take();
      } else if (pool_->pages.is_shared(page)) {
        const std::uint32_t own = pool_->pages.take();
        const std::size_t k = tiles::key_size(shape_.head_dim),
                          v = tiles::value_size(shape_.head_dim);
        std::copy_n(keys_.data() + page * k, k, keys_.data() + own * k);
        std::copy_n(values_.data() + page * v, v, values_.data() + own * v);
        pool_->pages.give_back(std::exchange(page, own));
      }
    }
  }
  /// The same for a tile that may hold nothing.
  void prepare_to_rewrite(std::size_t unit, std::size_t tile) {
    if constexpr (Layout::pages_taken)
      if (map_.page(unit, tile) != no_page) prepare_to_write(unit, tile);
  }
  /// Nothing in the tile lives any more.
  void give_back(std::size_t unit, std::size_t tile) {
    if constexpr (Layout::pages_taken) {
      std::uint32_t& page = map_.entry(unit, tile);
      if (page != no_page) pool_->pages.give_back(std::exchange(page, no_page));
    }
  }
  /// Gives every page back.
  void clear() {
    if constexpr (Layout::pages_taken)
      for (std::uint32_t& page : map_.entries())
        if (page != no_page) pool_->pages.give_back(std::exchange(page, no_page));
  }
  /// Pages that can still be taken, where other streams take from the same pool.
  std::size_t pages_left() const {
    if constexpr (Layout::pages_taken)
      if (pool_.use_count() > 1) return pool_->pages.left();
    return std::numeric_limits<std::size_t>::max();
  }
  /// Pages that writing to `tiles` tiles of each unit may take at most.
  std::size_t pages_for(std::size_t tiles) const {
    std::size_t n = 0;
    for (const std::size_t most : tile_counts_) n += std::min(tiles, most);
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

  /// Encodes one token's key and value `[head_dim]` for one KV head.
  void write(std::size_t layer, std::size_t head, tile_place at, const float* key,
             const float* value) {
    const std::size_t p = page(unit(layer, head), at.tile);
    encode_key<Codec, A>(key_page(p), at.lane, key, shape_.head_dim, shape_.rope);
    encode_value<Codec, A>(value_page(p), at.lane, value, shape_.head_dim);
  }
  void copy(std::size_t layer, std::size_t head, tile_place from, tile_place to) {
    const std::size_t dim = shape_.head_dim, source = page(unit(layer, head), from.tile),
                      target = page(unit(layer, head), to.tile);
    tiles::copy_key(key_page(source), from.lane, key_page(target), to.lane, dim);
    tiles::copy_value(value_page(source), from.lane, value_page(target), to.lane, dim);
  }
  /// Decodes a key `[head_dim]` as it lies.
  void read_key(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    tiles::read_key(key_page(page(unit(layer, head), at.tile)), shape_.head_dim, at.lane, out);
  }
  /// Decodes a value `[head_dim]`.
  void read_value(std::size_t layer, std::size_t head, tile_place at, float* out) const {
    const storage* const tile = value_page(page(unit(layer, head), at.tile));
    for (std::size_t i = 0; i < shape_.head_dim; ++i)
      out[i] = tiles::value(tile, shape_.head_dim, at.lane, i);
  }

  /// Dot products of the keys in tiles 0 … tile_count − 1 with vectors `[n, head_dim]`: `out`
  /// `[n, tile, 32]`, whatever lies in a lane.
  void dots(std::size_t layer, std::size_t head, std::size_t tile_count, const float* vectors,
            std::size_t n, float* out) const {
    const std::size_t stride = tile_count * tile_lanes;
    attention_block<Codec> block = whole(unit(layer, head));
    const auto at = [&](std::size_t t) { return place_in_block(unit(layer, head), t); };
    for (std::size_t first = 0; first < n; first += max_block_rows) {
      const std::size_t rows = std::min(max_block_rows, n - first);
      for (std::size_t r = 0; r < max_block_rows; ++r)
        block.query[0][r] = vectors + (first + std::min(r, rows - 1)) * shape_.head_dim;
      cpu::key_dots<A>(block, tile_count, at, rows, out + first * stride, stride);
    }
  }
  /// Σ weight[slot] · key over the slots whose weight is not 0: `out` `[head_dim]`. `sum`
  /// `[head_dim, 32]` is lost.
  void weighted_keys(std::size_t layer, std::size_t head, std::size_t tile_count,
                     const float* weight, float* sum, float* out) const {
    const attention_block<Codec> block = whole(unit(layer, head));
    std::fill_n(sum, shape_.head_dim * tile_lanes, 0.0f);
    for (std::size_t t = 0; t < tile_count; ++t)
      cpu::add_weighted_keys<A>(block, place_in_block(unit(layer, head), t),
                                weight + t * tile_lanes, sum);
    for (std::size_t k = 0; k < shape_.head_dim; ++k)
      out[k] = simd::sum_halving(sum + k * tile_lanes, tile_lanes);
  }

  /// Attends. Work is shared out by (KV head × row block), and by split too where those are few;
  /// splits merge in rising order either way, so the bits are the same.
  void attend(const attend_job& job, executor& threads) {
    const std::size_t group = shape_.group();
    const std::size_t blocks = (job.rows * group + max_block_rows - 1) / max_block_rows;
    const std::size_t items = shape_.kv_heads * blocks;
    const std::size_t cost =
        job.rows * shape_.q_heads * shape_.head_dim * std::max<std::size_t>(job.most_entries, 1);
    if (blocks <= shared_blocks() && items < 2 * threads.width() && most_splits_ > 1)
      attend_by_split(job, blocks, cost, threads);
    else
      threads.for_range(items, cost, [&](std::size_t first, std::size_t last) {
        for (std::size_t item = first; item < last; ++item) {
          // Heads that one thread sees through from end to end share a place that stays near.
          const std::size_t place = blocks == 1 && job.finished != nullptr ? first : item / blocks;
          attend_block(job, item / blocks, item % blocks, place);
          if (blocks == 1 && job.finished != nullptr) (*job.finished)(item, place);
        }
      });
    if (blocks > 1 && job.finished != nullptr)
      threads.for_range(shape_.kv_heads, cost / shape_.head_dim,
                        [&](std::size_t first, std::size_t last) {
                          for (std::size_t head = first; head < last; ++head)
                            (*job.finished)(head, head);
                        });
  }

 private:
  /// Row blocks of a KV head up to which splits may be shared out: one token, or a block's worth.
  std::size_t shared_blocks() const {
    return (shape_.group() + max_block_rows - 1) / max_block_rows;
  }
  /// One row's partial state: m, d and o, padded to whole cache lines.
  std::size_t partial_floats() const { return padded_ + 16; }

  /// The packed rows of a block and what the kernel needs to know of them.
  struct packed {
    attention_block<Codec> block;
    std::size_t first_row = 0, last_row = 0;  // step rows
    std::size_t rows = 0;                     // packed rows
    std::size_t begin = 0;                    // first packed row of the KV head
  };

  packed pack(const attend_job& job, std::size_t head, std::size_t number) const {
    const std::size_t group = shape_.group();
    packed p{whole(unit(job.layer, head))};
    p.begin = number * max_block_rows;
    p.rows = std::min(max_block_rows, job.rows * group - p.begin);
    p.first_row = p.begin / group;
    p.last_row = (p.begin + p.rows - 1) / group + 1;
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t row = (p.begin + r) / group, q_head = head * group + (p.begin + r) % group;
      p.block.step_row[r] = static_cast<std::uint8_t>(row - p.first_row);
      for (std::size_t v = 0; v < query_variants; ++v)
        p.block.query[v][r] =
            job.query + v * job.variant_stride + (row * shape_.q_heads + q_head) * shape_.head_dim;
    }
    if (job.rotation != nullptr) {
      p.block.rotation = job.rotation;
      p.block.rank = job.ranks + head * job.rank_stride;
    }
    return p;
  }

  /// Says where packed rows leave what they hand out of a split, and where its tiles lie.
  void enter_split(const attend_job& job, std::size_t head, std::size_t place, std::size_t split,
                   packed& p, visit_list& plan) const {
    if constexpr (Layout::pages_taken)
      plan.find_pages([&](std::size_t t) { return map_.page(unit(job.layer, head), t); });
    const handout_memory& out = job.handout;
    if (out.largest == nullptr) return;
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t tile = handout_row(job, place, p.begin + r) * out.tiles;
      const auto lanes = [&](float* at) {
        return at != nullptr ? at + tile * tile_lanes : nullptr;
      };
      p.block.handout[r] =
          attention_handout{lanes(out.weight), lanes(out.score), out.largest + tile}.of_split(
              split);
    }
  }
  /// Nothing was read yet of a head's splits.
  void clear_handout(const attend_job& job, std::size_t place, const packed& p,
                     std::size_t splits) const {
    const handout_memory& out = job.handout;
    if (out.largest == nullptr) return;
    for (std::size_t r = 0; r < p.rows; ++r)
      std::fill_n(out.largest + handout_row(job, place, p.begin + r) * out.tiles,
                  splits * split_tiles, -std::numeric_limits<float>::infinity());
  }
  std::size_t handout_row(const attend_job& job, std::size_t place, std::size_t packed_row) const {
    return place * job.rows * shape_.group() + packed_row;
  }

  void finish_row(const attend_job& job, std::size_t head, std::size_t place,
                  std::size_t packed_row, const attention_state& state) const {
    const std::size_t group = shape_.group();
    const std::size_t row = packed_row / group, q_head = head * group + packed_row % group;
    finish(state, job.out + (row * shape_.q_heads + q_head) * shape_.head_dim, shape_.head_dim);
    if (job.handout.largest == nullptr) return;
    float* const total = job.handout.total + 2 * handout_row(job, place, packed_row);
    total[0] = state.m;
    total[1] = state.d;
  }

  void attend_block(const attend_job& job, std::size_t head, std::size_t number,
                    std::size_t place) const {
    packed p = pack(job, head, number);
    alignas(cache_line) float total_o[max_block_rows * max_head_dim];
    alignas(cache_line) float split_o[max_block_rows * max_head_dim];
    attention_state total[max_block_rows], part[max_block_rows];
    visit_list plan;
    for (std::size_t r = 0; r < p.rows; ++r) total[r].o = total_o + r * padded_;
    std::fill_n(total_o, p.rows * padded_, 0.0f);
    const std::size_t splits = job.splits(head, p.first_row, p.last_row);
    clear_handout(job, place, p, splits);
    for (std::size_t k = 0; k < splits; ++k) {
      job.plan(head, p.first_row, p.last_row, k, plan);
      if (plan.visits().empty()) continue;
      enter_split(job, head, place, k, p, plan);
      for (std::size_t r = 0; r < p.rows; ++r) part[r] = {.o = split_o + r * padded_};
      std::fill_n(split_o, p.rows * padded_, 0.0f);
      cpu::fold<A>(p.block, plan, part, p.rows);
      for (std::size_t r = 0; r < p.rows; ++r) merge<A>(total[r], part[r], padded_);
    }
    for (std::size_t r = 0; r < p.rows; ++r) finish_row(job, head, place, p.begin + r, total[r]);
  }

  void attend_by_split(const attend_job& job, std::size_t blocks, std::size_t cost,
                       executor& threads) {
    const std::size_t items = shape_.kv_heads * blocks, stride = partial_floats();
    for (std::size_t item = 0; item < items; ++item)
      clear_handout(job, item / blocks, pack(job, item / blocks, item % blocks), most_splits_);
    const auto partial = [&](std::size_t item, std::size_t k, std::size_t r) {
      return partials_.data() + ((item * most_splits_ + k) * max_block_rows + r) * stride;
    };
    threads.for_range(items * most_splits_, cost, [&](std::size_t first, std::size_t last) {
      visit_list plan;
      for (std::size_t i = first; i < last; ++i) {
        const std::size_t item = i / most_splits_, k = i % most_splits_, head = item / blocks;
        packed p = pack(job, head, item % blocks);
        attention_state part[max_block_rows];
        for (std::size_t r = 0; r < p.rows; ++r) part[r] = {.o = partial(item, k, r) + 16};
        if (k < job.splits(head, p.first_row, p.last_row)) {
          job.plan(head, p.first_row, p.last_row, k, plan);
          enter_split(job, head, head, k, p, plan);
          for (std::size_t r = 0; r < p.rows; ++r) std::fill_n(part[r].o, padded_, 0.0f);
          cpu::fold<A>(p.block, plan, part, p.rows);
        }
        for (std::size_t r = 0; r < p.rows; ++r) {
          partial(item, k, r)[0] = part[r].m;
          partial(item, k, r)[1] = part[r].d;
        }
      }
    });
    threads.for_range(items, items * most_splits_ * max_block_rows * padded_,
                      [&](std::size_t first, std::size_t last) {
                        for (std::size_t item = first; item < last; ++item) {
                          const packed p = pack(job, item / blocks, item % blocks);
                          for (std::size_t r = 0; r < p.rows; ++r) {
                            attention_state total{.o = partial(item, 0, r) + 16};
                            const auto state = [&](std::size_t k) {
                              float* at = partial(item, k, r);
                              return attention_state{at[0], at[1], at + 16};
                            };
                            total = state(0);
                            if (total.empty()) std::fill_n(total.o, padded_, 0.0f);
                            for (std::size_t k = 1; k < most_splits_; ++k)
                              merge<A>(total, state(k), padded_);
                            finish_row(job, item / blocks, item / blocks, p.begin + r, total);
                          }
                          if (blocks == 1 && job.finished != nullptr) (*job.finished)(item, item);
                        }
                      });
  }

  std::size_t unit(std::size_t layer, std::size_t head) const {
    return layer * shape_.kv_heads + head;
  }
  std::size_t page(std::size_t unit, std::size_t tile) const { return map_.page(unit, tile); }
  storage* key_page(std::size_t page) const {
    return keys_.data() + page * tiles::key_size(shape_.head_dim);
  }
  storage* value_page(std::size_t page) const {
    return values_.data() + page * tiles::value_size(shape_.head_dim);
  }
  /// A block over all that a unit holds, with neither queries nor masks. Where a unit's tiles lie
  /// side by side they are counted from its first.
  attention_block<Codec> whole(std::size_t unit) const {
    const std::size_t base = Layout::pages_taken ? 0 : page(unit, 0);
    return {.keys = key_page(base), .values = value_page(base), .head_dim = shape_.head_dim};
  }
  std::size_t place_in_block(std::size_t unit, std::size_t tile) const {
    if constexpr (!Layout::pages_taken) return tile;
    const std::size_t p = page(unit, tile);
    return p != no_page ? p : 0;  // any page will do where nothing lives
  }

  kv_shape shape_;
  std::vector<std::size_t> tile_counts_;  // [unit]
  std::size_t most_splits_, padded_;
  page_map<Layout> map_;
  std::size_t table_end_;
  std::shared_ptr<pool> pool_;  // where pages are taken
  arena_plan::block<storage> keys_block_, values_block_;
  arena_plan::block<float> partials_block_;
  std::span<storage> keys_;    // [page, key_size]
  std::span<storage> values_;  // [page, value_size]
  std::span<float> partials_;  // [kv_head, block, split, row, 16 + padded]
};

}  // namespace weir
