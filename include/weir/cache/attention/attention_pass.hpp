// The attention of a layer's rows, shared out among threads: by KV head and block of rows, and
// where rows are few by split too, so that nobody waits for long. Splits merge in rising order
// whoever read them, so the bits are always the same (Flash-Decoding's partial states, in order).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <weir/cache/attention/attend_job.hpp>
#include <weir/cache/attention/split_states.hpp>
#include <weir/cache/store/kv_scales.hpp>
#include <weir/core/arena.hpp>
#include <weir/core/shared_range.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/attention.hpp>
#include <weir/kernels/attention_kernels.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

/// One job over one store. An item is a block of rows of a KV head.
template <class Store, class A>
class attention_pass {
 public:
  attention_pass(const Store& store, const attend_job& job, const split_states& states)
      : store_(store),
        job_(job),
        states_(states),
        shape_(store.shape()),
        blocks_((job.rows * shape_.group() + max_block_rows - 1) / max_block_rows) {}

  /// Defined outside: not inline, so that who declares an instance extern does not compile it.
  void run(executor& threads) const;

 private:
  static const auto& kernels() {
    return weir::kernels<attention_kernels<typename Store::codec>, A>();
  }

  /// The rows of an item.
  struct item_rows {
    std::size_t item, head;
    std::size_t begin;                // first packed row of the KV head
    std::size_t rows;                 // packed rows
    std::size_t first_row, last_row;  // step rows
  };
  /// And what the kernel needs to know of them.
  struct packed : item_rows {
    typename Store::block_type block;
  };

  item_rows rows_of(std::size_t item) const {
    const std::size_t group = shape_.group(), begin = item % blocks_ * max_block_rows,
                      rows = std::min(max_block_rows, job_.rows * group - begin);
    return {item, item / blocks_, begin, rows, begin / group, (begin + rows - 1) / group + 1};
  }
  packed pack(std::size_t item) const {
    const item_rows rows = rows_of(item);
    const std::size_t group = shape_.group(), head = rows.head;
    packed p{rows, store_.block_of(job_.layer, head)};
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t row = (p.begin + r) / group, q_head = head * group + (p.begin + r) % group;
      p.block.step_row[r] = static_cast<std::uint8_t>(row - p.first_row);
      for (std::size_t v = 0; v < query_variants; ++v)
        p.block.query[v][r] = job_.query + v * job_.variant_stride +
                              (row * shape_.q_heads + q_head) * shape_.head_dim;
    }
    if (job_.rotation != nullptr) {
      p.block.rotation = job_.rotation;
      p.block.rank = job_.ranks + head * job_.rank_stride;
    }
    return p;
  }
  std::size_t splits(const item_rows& p) const {
    return job_.splits(p.head, p.first_row, p.last_row);
  }

  /// Folds split k into `states`, whose outputs are where `output(r)` is. What rows hand out lies
  /// where that of KV head `place` would.
  template <class Output>
  void fold(packed& p, std::size_t k, std::size_t place, visit_list& plan, attention_state* states,
            Output output) const {
    for (std::size_t r = 0; r < p.rows; ++r) {
      states[r] = {.o = output(r)};
      std::fill_n(states[r].o, states_.padded(), 0.0f);
    }
    job_.plan(p.head, p.first_row, p.last_row, k, plan);
    store_.find_pages(job_.layer, p.head, plan);
    if (const raw_attention_memory& out = job_.raw; out.largest != nullptr)
      for (std::size_t r = 0; r < p.rows; ++r) {
        const std::size_t tile = raw_row(place, p.begin + r) * out.tiles;
        const auto lanes = [&](float* at) {
          return at != nullptr ? at + tile * tile_lanes : nullptr;
        };
        p.block.raw[r] =
            raw_attention{lanes(out.raw_weights), lanes(out.raw_scores), out.largest + tile}
                .of_split(k);
        // Nothing was read yet of the split.
        std::fill_n(p.block.raw[r].largest, split_tiles, -std::numeric_limits<float>::infinity());
      }
    if (plan.visits().empty()) return;
    kernels().fold(p.block, plan, states, p.rows);
  }
  void merge_rows(const item_rows& p, attention_state* into, const attention_state* from) const {
    for (std::size_t r = 0; r < p.rows; ++r) kernels().merge(into[r], from[r], states_.padded());
  }

  std::size_t raw_row(std::size_t place, std::size_t packed_row) const {
    return place * job_.rows * shape_.group() + packed_row;
  }
  void finish_item(const item_rows& p, std::size_t place, const attention_state* states) const {
    for (std::size_t r = 0; r < p.rows; ++r) {
      const std::size_t group = shape_.group(), row = (p.begin + r) / group,
                        q_head = p.head * group + (p.begin + r) % group;
      float* const out = job_.out + (row * shape_.q_heads + q_head) * shape_.head_dim;
      finish(states[r], out, shape_.head_dim);
      multiply(out, shape_.head_dim, store_.value_scale(job_.layer, p.head));
      if (job_.raw.largest == nullptr) continue;
      float* const total = job_.raw.total + 2 * raw_row(place, p.begin + r);
      total[0] = states[r].m;
      total[1] = states[r].d;
    }
    if (blocks_ == 1 && job_.finished != nullptr) (*job_.finished)(p.head, place);
  }

  /// `use(head, first head of its thread)`.
  template <class Use>
  void for_each_head(std::size_t cost, executor& threads, Use use) const {
    threads.for_range(shape_.kv_heads, cost, [&](std::size_t first, std::size_t last) {
      for (std::size_t head = first; head < last; ++head) use(head, first);
    });
  }

  // ---- whole items -----------------------------------------------------------------------------

  void by_item(std::size_t items, std::size_t cost, executor& threads) const {
    if (blocks_ > 1)
      for_each_head(8 * job_.rows * (shape_.q_heads + shape_.kv_heads) * shape_.head_dim, threads,
                    [&](std::size_t head, std::size_t first) { job_.arrive(head, first); });
    threads.for_range(items, cost, [&](std::size_t first, std::size_t last) {
      for (std::size_t item = first; item < last; ++item) {
        if (blocks_ == 1) job_.arrive(item, first);
        // Heads that one thread sees through from end to end share a place that stays near.
        attend_item(item, blocks_ == 1 && job_.finished != nullptr ? first : item / blocks_);
      }
    });
  }

  void attend_item(std::size_t item, std::size_t place) const {
    packed p = pack(item);
    alignas(cache_line) float total_o[max_block_rows * max_head_dim];
    alignas(cache_line) float split_o[max_block_rows * max_head_dim];
    attention_state total[max_block_rows], split[max_block_rows];
    visit_list plan;
    start(p, total, total_o);
    const std::size_t n = splits(p);
    for (std::size_t k = 0; k < n; ++k) {
      fold(p, k, place, plan, split, [&](std::size_t r) { return split_o + r * states_.padded(); });
      merge_rows(p, total, split);
    }
    finish_item(p, place, total);
  }
  void start(const item_rows& p, attention_state* total, float* o) const {
    for (std::size_t r = 0; r < p.rows; ++r) total[r] = {.o = o + r * states_.padded()};
    std::fill_n(o, p.rows * states_.padded(), 0.0f);
  }

  // ---- by split --------------------------------------------------------------------------------

  void by_split(std::size_t items, executor& threads) const {
    std::size_t most = 1;
    for (std::size_t item = 0; item < items; ++item) {
      most = std::max(most, splits(rows_of(item)));
      states_.of(item) = {};
    }
    shared_range work(items * most, threads.width(), items < threads.width() ? 1 : most);
    const bool threads_have_places = threads.width() <= shape_.kv_heads;
    threads.run([&](unsigned part) { attend_splits(most, work, part, threads_have_places); });
  }

  static constexpr std::uint32_t not_arrived = 0, arriving = 1, arrived = 2;

  /// Has a KV head's rows stored when this returns, by whichever thread came first.
  void await_arrival(std::size_t head, std::size_t place) const {
    std::atomic_ref<std::uint32_t> state(states_.of(head * blocks_).arrival);
    std::uint32_t seen = not_arrived;
    if (state.compare_exchange_strong(seen, arriving, std::memory_order_acquire)) {
      job_.arrive(head, place);
      state.store(arrived, std::memory_order_release);
      state.notify_all();
    }
    for (; seen == arriving; seen = state.load(std::memory_order_acquire)) state.wait(arriving);
  }

  /// What one thread takes of `most` splits an item. It merges an item's splits as it goes, for as
  /// long as it takes them in order; what others took waits for those before it.
  void attend_splits(std::size_t most, shared_range& work, unsigned part, bool has_place) const {
    alignas(cache_line) float total_o[max_block_rows * max_head_dim];
    alignas(cache_line) float split_o[max_block_rows * max_head_dim];
    attention_state total[max_block_rows], split[max_block_rows];
    visit_list plan;
    std::size_t mine = 0, merged = 0;  // total holds so many of the first splits of item `mine`
    const auto leave = [&] {
      if (merged == 0) return;
      const item_rows own = rows_of(mine);
      for (std::size_t r = 0; r < own.rows; ++r) states_.keep(mine, merged - 1, r, total[r]);
      states_.of(mine).merged = static_cast<std::uint32_t>(merged);
      hand_in(own, std::exchange(merged, 0));
    };
    packed p{};
    std::size_t n = 0;  // splits of p; none yet
    while (const std::optional<std::size_t> next = work.take_one(part)) {
      const std::size_t item = *next / most, k = *next % most;
      if (n == 0 || item != p.item) {
        await_arrival(item / blocks_, has_place ? part : item / blocks_);
        p = pack(item);
        n = splits(p);
      }
      if (k >= n) continue;
      if (k == 0) {
        leave();
        mine = item;
        start(p, total, total_o);
      }
      if (item == mine && k == merged) {
        fold(p, k, p.head, plan, split,
             [&](std::size_t r) { return split_o + r * states_.padded(); });
        merge_rows(p, total, split);
        if (++merged < n) continue;
        finish_item(p, p.head, total);
        merged = 0;
      } else {
        fold(p, k, p.head, plan, split, [&](std::size_t r) { return states_.output(item, k, r); });
        for (std::size_t r = 0; r < p.rows; ++r) states_.keep(item, k, r, split[r]);
        hand_in(p, 1);
      }
    }
    leave();
  }

  /// `n` more splits of an item are kept: with the last of them, all are merged.
  void hand_in(const item_rows& p, std::size_t n) const {
    split_states::progress& so_far = states_.of(p.item);
    const std::size_t all = splits(p), before = std::atomic_ref(so_far.done)
                                                    .fetch_add(static_cast<std::uint32_t>(n),
                                                               std::memory_order_acq_rel);
    if (before + n < all) return;
    attention_state total[max_block_rows], split[max_block_rows];
    const auto load = [&](attention_state* to, std::size_t k) {
      for (std::size_t r = 0; r < p.rows; ++r) to[r] = states_.kept(p.item, k, r);
    };
    const std::size_t first = std::max<std::size_t>(so_far.merged, 1);
    load(total, first - 1);
    for (std::size_t k = first; k < all; ++k) {
      load(split, k);
      merge_rows(p, total, split);
    }
    finish_item(p, p.head, total);
  }

  const Store& store_;
  const attend_job& job_;
  const split_states& states_;
  const kv_shape& shape_;
  std::size_t blocks_;
};

template <class Store, class A>
void attention_pass<Store, A>::run(executor& threads) const {
  const std::size_t items = shape_.kv_heads * blocks_,
                    most = std::max<std::size_t>(job_.max_entries, 1);
  const std::size_t cost = job_.rows * shape_.q_heads * shape_.head_dim * most;
  // By split where there is room for the states of all rows.
  if (threads.width() > 1 && cost >= executor::worth_sharing && blocks_ <= states_.max_blocks())
    by_split(items, threads);
  else
    by_item(items, cost, threads);
  if (blocks_ > 1 && job_.finished != nullptr)
    for_each_head(cost / shape_.head_dim, threads,
                  [&](std::size_t head, std::size_t) { (*job_.finished)(head, head); });
}

}  // namespace weir::inline WEIR_TARGET
