// The KV cache: codec × eviction × positions × layout, and the lifetime of its tokens.
//
//   auto step = cache.begin(rows);
//   for each layer, rising: step.attend(layer, q, k, v, out);
//   step.commit(path);                  or let `step` go out of scope: rollback
//
// After commit or rollback the cache equals, bit for bit, one that never speculated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/attention/layer_pass.hpp>
#include <weir/cache/cache_options.hpp>
#include <weir/cache/cache_parts.hpp>
#include <weir/cache/cache_reports.hpp>
#include <weir/cache/cache_step.hpp>
#include <weir/cache/codec/concept.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/legal_cache.hpp>
#include <weir/cache/position/positions.hpp>
#include <weir/cache/refused_cache.hpp>
#include <weir/cache/retention/head_access.hpp>
#include <weir/cache/store/compiled_stores.hpp>
#include <weir/core/checked_size.hpp>
#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Illegal combinations: one sentence, and members that accept what a cache accepts, so that the
/// sentence is all the compiler has to say.
template <class Codec, class Keep, class Positions = positions::original,
          class Layout = layouts::contiguous, class Arch = simd::preferred>
class kv_cache : public refused_cache {
  static_assert(sizeof(detail::refusal<Codec, Keep, Positions, Layout>) > 0);

 public:
  kv_cache(const kv_shape&, const Keep&, const cache_options& = {});
  static std::size_t required_bytes(const kv_shape&, const Keep&, const cache_options& = {});
};

template <class Codec, class Keep, class Positions, class Layout, class Arch>
  requires legal_cache<Codec, Keep, Positions, Layout>
class kv_cache<Codec, Keep, Positions, Layout, Arch> {
  using parts = cache_parts<Codec, Keep, Positions, Layout, Arch>;
  using keeper_type = typename parts::keeper_type;
  using store_type = typename parts::store_type;

 public:
  /// Bytes that a cache of these settings holds for keys, values and what its policy remembers,
  /// exactly; beside them are some words for each KV head of each layer, which are all that this
  /// allocates. Throws what the constructor throws.
  static std::size_t required_bytes(const kv_shape& shape, const Keep& keep,
                                    const cache_options& options = {}) {
    return parts(shape, keep, options).bytes();
  }

  /// The same of a fork: the pages are the first one's.
  static std::size_t required_bytes_of_fork(const kv_shape& shape, const Keep& keep,
                                            const cache_options& options = {})
    requires Layout::pages_taken
  {
    return parts(shape, keep, options).plan.bytes();
  }
  /// What cache_options.extra_pages has to be so that `forks` forks of a stream, while it waits for
  /// them, can each append `tokens` tokens that no other shares. Throws what the constructor
  /// throws.
  static std::size_t pages_for_forks(const kv_shape& shape, const Keep& keep,
                                     const cache_options& options, std::size_t forks,
                                     std::size_t tokens)
    requires Layout::pages_taken
  {
    const parts p(shape, keep, options);
    const std::size_t rows = checked_sum(tokens, options.max_draft_rows);
    return std::max(checked_sum(checked_product(forks, p.pages_for_rows(rows)),
                                p.pages_for_step(std::min(rows, options.max_rows))),
                    p.pages_for_step(options.max_rows));  // of the stream, behind them
  }

  /// Allocates everything the cache will ever hold. Throws error::bad_config on settings that do
  /// not fit together, error::out_of_memory if there is not enough memory.
  kv_cache(const kv_shape& shape, Keep keep, const cache_options& options = {}) WEIR_TRY
      : shape_(shape),
        options_(options),
        parts_(shape, keep, options),
        memory_((parts_.store.require_numbered(), parts_.plan)),
        rows_(options.max_rows),
        cut_(options.max_rows),
        attended_(shape.layers) {
    bind();
    keeper().reset();
    store().start();
  }
  WEIR_OR_OUT_OF_MEMORY("kv_cache")

  /// A stream that goes on from where `other` is, and shares its pages until either writes to one.
  /// Costs a copy of what the policy remembers, not of keys and values. Pages come from the pool of
  /// the first; cache_options.extra_pages says how many more than that needs. Throws
  /// error::bad_call while a step of `other` is open, error::out_of_memory. Forks of one pool are
  /// not to be used from several threads at once.
  explicit kv_cache(const kv_cache& other)
    requires Layout::pages_taken
  WEIR_TRY : shape_(other.shape_),
             options_(other.options_),
             parts_((other.require_usable("fork"), other.parts_)),
             memory_(other.memory_.copy()),
             rows_(options_.max_rows),
             cut_(options_.max_rows),
             stats_(other.stats_),
             attended_(shape_.layers),
             last_cut_(other.last_cut_),
             may_take_back_(other.may_take_back_) {
    bind();
    store().share();
  }
  WEIR_OR_OUT_OF_MEMORY("kv_cache: a fork")

  /// Becomes what a fork of `other` is, and forgets its own stream: one of the two was forked from
  /// the other, or both from a third. Throws error::bad_call while a step of either is open,
  /// error::bad_input for caches that do not share their pages; then nothing has changed. No
  /// allocation.
  void fork_from(const kv_cache& other)
    requires Layout::pages_taken
  {
    error::require<error::bad_call>(!open_, "fork_from: a step is open");
    other.require_usable("fork_from");
    error::require<error::bad_input>(
        store().shares_pool_with(other.parts_.store),
        "fork_from: a cache with pages of its own (expected one that was forked from the other)");
    if (this == &other) return;
    store().clear();
    memory_.copy_from(other.memory_, store().table_end());
    keeper().copy_from(other.keeper());
    store().share();
    stats_ = other.stats_;
    last_cut_ = other.last_cut_;
    broken_ = false;
    may_take_back_ = other.may_take_back_;
  }
  ~kv_cache() {
    if constexpr (Layout::pages_taken) store().clear();
  }

  kv_cache(kv_cache&&) = delete;  // an open step points at its cache

  using step = cache_step<kv_cache>;

  /// Opens a step of `rows`. Throws error::bad_input if they are no chain and tree, or do not fit
  /// `room`, `finals_room` and `draft_room`, or the pages left by forks; error::bad_call while
  /// another step is open, the stream is broken, or log-probabilities that the policy needs were
  /// not told.
  [[nodiscard]] step begin(std::span<const row> rows) {
    using error::bad_call, error::bad_input, error::require;
    require_usable("begin");
    require<bad_input>(rows.size() <= options_.max_rows, "step: ", rows.size(),
                       " rows (expected at most max_rows = ", options_.max_rows, ")");
    rows_.assign(rows, options_.max_draft_rows, options_.max_draft_width);
    require<bad_input>(rows_.finals() <= finals_room(), "step: ", rows_.finals(),
                       " final rows (expected at most ", finals_room(),
                       ", to the next boundary: what is decided there needs all layers)");
    require<bad_input>(rows_.finals() + rows_.deepest() <= room(),
                       "step: ", rows_.finals() + rows_.deepest(),
                       " more tokens than fit (room for ", room(), "; keep_all evicts nothing)");
    step_rows::require_depth(rows_.deepest(), draft_room(rows_.finals()));
    require_pages(parts_.pages_for_step(rows_.size()));
    if constexpr (keeper_type::wants_log_probabilities)
      require<bad_call>(!keeper().lacks_log_probabilities(),
                        "begin: the policy decides by log-probabilities that were not told "
                        "(expected tell_log_probability for every token so far)");
    turn_rows(0);
    std::fill(attended_.begin(), attended_.end(), 0);
    std::fill(cut_.begin(), cut_.end(), 0);
    open_ = true;
    step_evictions_ = 0;
    return step(*this);
  }

  /// Takes back the last token. Once after each commit, if cache_options.may_take_back; throws
  /// error::bad_call otherwise.
  void take_back() {
    require_usable("take_back");
    error::require<error::bad_call>(options_.may_take_back,
                                    "take_back: the cache was made with may_take_back = false");
    error::require<error::bad_call>(may_take_back_,
                                    "take_back: only the last token can be taken back, once");
    if constexpr (!keeper_type::has_boundaries)
      stats_.evicted_entries = keeper().evicted(length() - 1);
    keeper().take_back();
    --stats_.appended;
    stats_.cut -= std::exchange(last_cut_, 0);
    may_take_back_ = false;
  }

  /// True if the policy decides by how probable tokens were: `tell_log_probability` must be called
  /// for every token, and steps end at boundaries.
  static constexpr bool wants_log_probabilities = keeper_type::wants_log_probabilities;

  /// Says how probable the token at `index` was, nats, under the logits before it; of the stream's
  /// first token, 0. Each token once, in order, before or after it is appended: once the boundary
  /// before it has run, and before the one behind it. Throws error::bad_call for another.
  void tell_log_probability(std::uint64_t index, float log_probability)
    requires wants_log_probabilities
  {
    keeper().tell_log_probability(index, log_probability);
  }

  /// Forgets the stream. The memory stays.
  void reset() {
    error::require<error::bad_call>(!open_, "reset: a step is open");
    keeper().reset();
    store().clear();
    stats_ = {};
    last_cut_ = 0;
    broken_ = may_take_back_ = false;
  }

  /// Stream index of the next token.
  std::uint64_t length() const { return keeper().length(); }
  /// Tokens that can be appended before the stream is full; without bound unless keep_all.
  std::uint64_t room() const { return keeper().room(); }
  /// Final rows that one step may have; without bound unless boundaries need the whole forward
  /// pass.
  std::uint64_t finals_room() const { return keeper().finals_room(); }
  /// How deep provisional rows may go behind `finals` final rows of the same step.
  std::size_t draft_room(std::size_t finals) const {
    const std::uint64_t left = room() - std::min<std::uint64_t>(finals, room());
    return static_cast<std::size_t>(
        std::min<std::uint64_t>({keeper().draft_room(finals), options_.max_draft_rows, left}));
  }
  /// Most entries that any row reads.
  std::size_t max_entries() const { return keeper().max_entries(); }
  /// Bytes held: those of required_bytes.
  std::size_t bytes() const { return memory_.bytes() + parts_.store.pool_bytes(); }
  /// Of them, those that forks do not share.
  std::size_t bytes_beside_pages() const { return memory_.bytes(); }
  /// Tiles of 32 entries that hold keys and values now; all of them where the layout is contiguous.
  std::size_t pages_held() const { return parts_.store.pages_held(); }

  const kv_shape& shape() const { return shape_; }
  const cache_options& options() const { return options_; }
  const cache_stats& stats() const { return stats_; }

  /// Calls `visit(stream_index)` for the entries of a (layer, KV head) that the next token will
  /// read besides itself, in stream order. Where the policy decides first, its decision is made on
  /// a copy of the cache: O(bytes()) then, else O(entries). As long as it lacks log-probabilities
  /// that it decides by, it has decided nothing. Throws error::bad_input for a layer or head that
  /// there is not, error::bad_call while a step is open or the stream is broken.
  template <class Visit>
  void for_each_index(std::size_t layer, std::size_t head, Visit visit) const {
    require_visible("for_each_index", layer, head);
    with_decided(layer, [&](const kv_cache& c) {
      c.keeper().for_each_live(
          layer * shape_.kv_heads + head,
          [&](std::uint64_t index, tile_place) { visit(stream_index{index}); });
    });
  }

  /// Calls `visit(const cache_entry&)` for the entries that for_each_index tells of. For looking,
  /// not for decoding: O(entries · head_dim) more. Throws what for_each_index throws.
  template <class Visit>
  void for_each_entry(std::size_t layer, std::size_t head, Visit visit) const {
    require_visible("for_each_entry", layer, head);
    std::vector<float> key(shape_.head_dim), value(shape_.head_dim);
    with_decided(layer, [&](const kv_cache& c) {
      c.keeper().for_each_live(layer * shape_.kv_heads + head,
                               [&](std::uint64_t index, tile_place p) {
                                 c.parts_.store.read_key(layer, head, p, key.data());
                                 c.parts_.store.read_value(layer, head, p, value.data());
                                 visit(cache_entry{{index}, p.tile, p.lane, key, value});
                               });
    });
  }

 private:
  friend step;

  /// A copy that shares nothing, to look into the future with.
  struct copied_whole {};
  kv_cache(copied_whole, const kv_cache& other)
      : shape_(other.shape_),
        options_(other.options_),
        parts_(other.parts_),
        memory_(other.memory_.copy()),
        rows_(options_.max_rows),
        cut_(options_.max_rows),
        attended_(shape_.layers) {
    options_.threads = nullptr;
    store().copy_pool();
    bind();
  }
  /// `look(cache)`: this one, or one in which layers 0 … `last` have made the decision that is due
  /// before the next token.
  template <class Look>
  void with_decided(std::size_t last, Look look) const {
    if constexpr (keeper_type::has_boundaries)
      if (keeper().boundary_due(length()) && !keeper().lacks_log_probabilities()) {
        kv_cache next(copied_whole{}, *this);
        for (std::size_t layer = 0; layer <= last; ++layer)
          layer_pass<parts>(next.parts_, next.access_, next.rows_, next.threads(), layer, {})
              .decide();
        return look(next);
      }
    look(*this);
  }

  void bind() {
    parts_.bind(memory_);
    if constexpr (keeper_type::has_boundaries)
      for (std::size_t head = 0; head < shape_.kv_heads; ++head)
        access_.push_back(std::make_unique<head_access<store_type>>(store(), head));
  }

  keeper_type& keeper() { return parts_.keeper; }
  const keeper_type& keeper() const { return parts_.keeper; }
  store_type& store() { return parts_.store; }
  executor& threads() { return options_.threads != nullptr ? *options_.threads : serial_; }

  void require_usable(const char* call) const {
    using error::bad_call, error::require;
    require<bad_call>(!open_, call, ": a step is open (expected commit or rollback first)");
    require<bad_call>(!broken_, call,
                      ": the stream lost final rows half-way and can only be reset");
  }

  void require_visible(const char* call, std::size_t layer, std::size_t head) const {
    require_usable(call);
    error::require<error::bad_input>(layer < shape_.layers && head < shape_.kv_heads, call,
                                     ": layer ", layer, ", KV head ", head, " (expected below ",
                                     shape_.layers, " and ", shape_.kv_heads, ")");
  }

  void extend(std::span<const row> rows) {
    error::require<error::bad_input>(rows.size() <= options_.max_rows - rows_.size(),
                                     "step: ", rows_.size() + rows.size(),
                                     " rows (expected at most max_rows = ", options_.max_rows, ")");
    require_pages(parts_.pages_for_more(rows.size()));
    const std::size_t old = rows_.size(), finals = rows_.finals();
    rows_.extend(rows, options_.max_draft_rows, options_.max_draft_width, draft_room(finals));
    turn_rows(old);
  }
  /// Throws unless the pool has `pages` pages for the step.
  void require_pages(std::size_t pages) {
    if constexpr (Layout::pages_taken) {
      error::require<error::bad_input>(pages <= store().pages_left(), "step: may take ", pages,
                                       " pages of a pool that forks share (", store().pages_left(),
                                       " are left; expected more cache_options.extra_pages)");
    }
  }
  /// Throws, and the stream is broken, if the pool ran dry all the same: forks that had their steps
  /// open at once took its last pages, or a member gave out more budget than it had.
  void require_all_written(const char* call) {
    broken_ = broken_ || store().ran_dry();
    error::require<error::bad_call>(
        !store().ran_dry(), call,
        ": no page was left, and the stream can only be reset (expected more "
        "cache_options.extra_pages, or fewer forks with a step open)");
  }
  /// Throws if numbers of the token at `index` were cut and options refuse them.
  void require_uncut(const char* call, std::size_t cut, std::uint64_t index) const {
    if (cut == 0 || options_.on_overflow == overflow::warn) return;
    error::raise<error::overflow>(
        call, ": ", cut, " numbers of the keys and values of token ", index, " are beyond ",
        largest_held<Codec>, ", the largest that the codec holds (expected ",
        options_.on_overflow == overflow::scale
            ? "cache_options.ranges that tell how large they get, or overflow::warn)"
            : "overflow::scale and cache_options.ranges, or overflow::warn)");
  }
  void turn_rows(std::size_t first) {
    if constexpr (keeper_type::stores_rotated_keys)  // else each head has ranks of its own
      for (std::size_t r = first; r < rows_.size(); ++r)
        parts_.turns.set_row(r, position{length() + rows_.offset(r)});
  }

  /// The first layer that some row has yet to attend in.
  std::size_t next_layer() const {
    return static_cast<std::size_t>(
        std::find_if(attended_.begin(), attended_.end(),
                     [&](std::size_t rows) { return rows < rows_.size(); }) -
        attended_.begin());
  }

  void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
              std::span<const float> v, std::span<float> out) {
    using error::bad_call, error::bad_input, error::require;
    const std::size_t base = layer < shape_.layers ? attended_[layer] : 0,
                      end = layer == 0              ? rows_.size()
                            : layer < shape_.layers ? attended_[layer - 1]
                                                    : 0;
    require<bad_call>(base < end, "attend: layer ", layer, " (expected layer ", next_layer(),
                      " of ", shape_.layers, ", each once)");
    const std::size_t n = end - base, q_row = shape_.q_heads * shape_.head_dim,
                      kv_row = shape_.kv_heads * shape_.head_dim;
    require<bad_input>(q.size() == n * q_row && out.size() == n * q_row, "attend: q and out of ",
                       q.size(), " and ", out.size(), " floats (expected ", n, " rows of ", q_row,
                       ")");
    require<bad_input>(k.size() == n * kv_row && v.size() == n * kv_row, "attend: k and v of ",
                       k.size(), " and ", v.size(), " floats (expected ", n, " rows of ", kv_row,
                       ")");
    attended_[layer] = end;
    layer_pass<parts> pass(parts_, access_, rows_, threads(), layer,
                           {base, q.data(), k.data(), v.data(), out.data(), cut_.data()});
    pass.run(end);
    require_all_written("attend");
    for (std::size_t r = base; r < std::min(end, rows_.finals()); ++r)
      require_uncut("attend", cut_[r], length() + r);
    for (const auto& head : access_) {  // what members wrote at a boundary
      const std::size_t cut = head->take_cut();
      require_uncut("attend", cut, length());
      stats_.cut += cut;
    }
    stats_.boundaries += pass.boundaries();
    step_evictions_ += pass.dropped();
  }

  commit_report commit(std::span<const std::size_t> path) {
    require_all_written("commit");
    error::require<error::bad_call>(next_layer() == shape_.layers, "commit: ", next_layer(),
                                    " layers attended (expected all ", shape_.layers, ")");
    rows_.require_path(path);
    for (const std::size_t r : path) require_uncut("commit", cut_[r], length() + rows_.offset(r));
    for (std::size_t head_index = 0; head_index < shape_.total_kv_heads(); ++head_index)
      for (const std::size_t r : path) {
        const tile_place from = keeper().place(head_index, rows_, r),
                         to = keeper().home(head_index, rows_, r);
        if (from != to) {
          store().prepare_to_write(head_index, to.tile);
          store().copy(head_index / shape_.kv_heads, head_index % shape_.kv_heads, from, to);
        }
      }
    require_all_written("commit");
    commit_report report{rows_.finals() + path.size(), path.size(), step_evictions_};
    if constexpr (!keeper_type::has_boundaries)
      report.evicted_entries =
          keeper().evicted(length() + report.appended) - keeper().evicted(length());
    keeper().append(rows_, path, threads());
    const auto append_cut = [&](std::size_t r) { stats_.cut += last_cut_ = cut_[r]; };
    for (std::size_t r = 0; r < rows_.finals(); ++r) append_cut(r);
    for (const std::size_t r : path) append_cut(r);
    stats_.appended += report.appended;
    stats_.evicted_entries += report.evicted_entries;
    stats_.provisional += rows_.drafts();
    stats_.accepted += path.size();
    if (report.appended > 0) may_take_back_ = true;
    open_ = false;
    return report;
  }

  void abandon() {
    open_ = false;
    if (attended_[0] == 0) return;
    broken_ = broken_ || rows_.finals() > 0;
    stats_.provisional += rows_.drafts();
  }

  kv_shape shape_;
  cache_options options_;
  parts parts_;
  arena memory_;
  executor serial_;
  std::vector<std::unique_ptr<head_access<store_type>>> access_;  // [kv_head]
  step_rows rows_;
  std::vector<std::uint32_t> cut_;  // [row] numbers cut of its keys and values
  cache_stats stats_;
  std::vector<std::size_t> attended_;  // [layer] rows of the step that have attended
  std::uint64_t step_evictions_ = 0;
  std::uint64_t last_cut_ = 0;  // of the last token appended
  bool open_ = false, broken_ = false, may_take_back_ = false;
};

}  // namespace weir::inline WEIR_TARGET
