// The KV cache: codec × eviction × positions, and the lifetime of its tokens.
//
//   auto step = cache.begin(rows);
//   for each layer, rising: step.attend(layer, q, k, v, out);
//   step.commit(path);                  or let `step` go out of scope: rollback
//
// After commit or rollback the cache equals, bit for bit, one that never speculated.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <weir/cache/cache_options.hpp>
#include <weir/cache/cache_reports.hpp>
#include <weir/cache/codec/concept.hpp>
#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/kv_store.hpp>
#include <weir/cache/position/positions.hpp>
#include <weir/cache/positional_keeper.hpp>
#include <weir/cache/refused_cache.hpp>
#include <weir/cache/scored_keeper.hpp>
#include <weir/core/exact_arithmetic.hpp>
#include <weir/kernels/cpu/rope.hpp>

namespace weir {

/// Policies that can work together.
template <class Codec, class Keep, class Positions>
concept legal_cache = kv_codec<Codec> && legal_keep<Keep> && position_policy<Positions>;

namespace detail {

/// Says what is wrong, in a class of its own: one that fails an assertion is of no further use, and
/// its users would be told so line by line.
template <class Codec, class Keep, class Positions>
struct refusal {
  static_assert(kv_codec<Codec>,
                "weir: the first parameter of kv_cache is a codec: f32, f16 or bf16");
  static_assert(is_keep<Keep>,
                "weir: the second parameter of kv_cache says what stays: keep_all or keep<...>");
  static_assert(sizeof(Keep) > 0);  // has keep<...> say what is wrong with its members
  static_assert(position_policy<Positions>,
                "weir: the third parameter of kv_cache is positions::original or "
                "positions::within_cache");
};

}  // namespace detail

/// Illegal combinations: one sentence, and members that accept what a cache accepts, so that the
/// sentence is all the compiler has to say.
template <class Codec, class Keep, class Positions = positions::original, class Arch = simd::native>
class kv_cache : public refused_cache {
  static_assert(sizeof(detail::refusal<Codec, Keep, Positions>) > 0);

 public:
  kv_cache(const kv_shape&, const Keep&, const cache_options& = {});
  static std::size_t required_bytes(const kv_shape&, const Keep&, const cache_options& = {});
};

template <class Codec, class Keep, class Positions, class Arch>
  requires legal_cache<Codec, Keep, Positions>
class kv_cache<Codec, Keep, Positions, Arch> {
  using keeper_type =
      std::conditional_t<is_positional_keep<Keep>, positional_keeper<Keep, Positions::renumbers>,
                         scored_keeper<Keep, Positions::renumbers>>;

  /// Everything that holds memory, planned in one order.
  struct parts {
    arena_plan plan;
    keeper_type keeper;
    kv_store<Codec, Arch> store;
    std::size_t segment_rows, pairs;
    arena_plan::block<float> query, row_cos, row_sin, rank_cos, rank_sin, sink_cos, sink_sin;

    parts(const kv_shape& shape, const Keep& keep, const cache_options& options)
        : keeper((require_exact_arithmetic(), validate(shape), validate(options), plan), shape,
                 keep, options),
          store(plan, shape, keeper.physical_tiles(), keeper.most_splits()) {
      if (Positions::renumbers)
        error::require<error::bad_config>(
            shape.rope.dims > 0,
            "positions::within_cache: the model rotates its queries and keys itself "
            "(expected unrotated ones and kv_shape.rope.dims > 0)");
      segment_rows = std::max(std::min(options.max_rows, tile_lanes), options.max_draft_rows);
      pairs = shape.rope.dims / 2;
      query = plan.reserve<float>(query_variants * segment_rows * shape.q_heads * shape.head_dim);
      row_cos = plan.reserve<float>(options.max_rows * shape.rope.dims);
      row_sin = plan.reserve<float>(options.max_rows * shape.rope.dims);
      sink_cos = plan.reserve<float>(shape.rope.dims);
      sink_sin = plan.reserve<float>(shape.rope.dims);
      if constexpr (!keeper_type::stores_rotated_keys) {
        rank_cos = plan.reserve<float>(pairs * keeper.ranks());
        rank_sin = plan.reserve<float>(pairs * keeper.ranks());
      }
    }
  };

 public:
  /// Bytes a cache of these settings holds, exactly. Throws what the constructor throws, and
  /// allocates nothing that grows with them.
  static std::size_t required_bytes(const kv_shape& shape, const Keep& keep,
                                    const cache_options& options = {}) {
    return parts(shape, keep, options).plan.bytes();
  }

  /// Allocates everything the cache will ever hold. Throws error::bad_config on settings that do
  /// not fit together, std::bad_alloc if there is not enough memory.
  kv_cache(const kv_shape& shape, Keep keep, const cache_options& options = {})
      : shape_(shape),
        options_(options),
        parts_(shape, keep, options),
        memory_(parts_.plan),
        angles_(shape.rope) {
    parts_.keeper.bind(memory_);
    parts_.store.bind(memory_);
    if (Positions::renumbers && keeper_type::stores_rotated_keys)
      angles_.factors(position{keeper().sink_query_position()}, at(parts_.sink_cos),
                      at(parts_.sink_sin));
    if constexpr (!keeper_type::stores_rotated_keys) {
      const std::size_t ranks = keeper().ranks();
      for (std::size_t i = 0; i < parts_.pairs; ++i)
        for (std::size_t r = 0; r < ranks; ++r)
          std::tie(at(parts_.rank_cos)[i * ranks + r], at(parts_.rank_sin)[i * ranks + r]) =
              angles_.cos_sin(i, position{r});
    }
  }

  kv_cache(kv_cache&&) = delete;  // an open step points at its cache

  /// An open step. Closing it without commit takes its provisional rows back.
  class step {
   public:
    step(step&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)) {}
    step& operator=(step&&) = delete;
    ~step() { rollback(); }

    /// Attention of every row in one layer; layers come in rising order, each once.
    /// `q` and `out`: `[row, q_head, head_dim]`; `k` and `v`: `[row, kv_head, head_dim]`; q and k
    /// unrotated, unless kv_shape.rope.dims is 0. Throws error::bad_input on a span of another
    /// size, error::bad_call on a layer out of turn; then nothing has changed.
    void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
                std::span<const float> v, std::span<float> out) {
      error::require<error::bad_call>(cache_ != nullptr, "attend: the step is closed");
      cache_->attend(layer, q, k, v, out);
    }

    /// Makes the final rows and the provisional rows of `path` (row numbers, each the parent of
    /// the next) part of the stream, takes the others back, and closes the step. Every layer must
    /// have attended. O(layers · path) copies at most.
    commit_report commit(std::span<const std::size_t> path) {
      error::require<error::bad_call>(cache_ != nullptr, "commit: the step is closed");
      const commit_report report = cache_->commit(path);
      cache_ = nullptr;
      return report;
    }
    commit_report commit(std::initializer_list<std::size_t> path = {}) {
      return commit(std::span(path.begin(), path.size()));
    }

    /// Takes the provisional rows back and closes the step. A step whose final rows have been
    /// attended in some layer cannot be undone: the stream then refuses everything but `reset`.
    void rollback() {
      if (cache_ != nullptr) std::exchange(cache_, nullptr)->abandon();
    }

   private:
    friend kv_cache;
    explicit step(kv_cache& cache) : cache_(&cache) {}
    kv_cache* cache_;
  };

  /// Opens a step of `rows`. Throws error::bad_input if they are no chain and tree, or do not fit
  /// `room` and `draft_room`; error::bad_call while another step is open or the stream is broken.
  [[nodiscard]] step begin(std::span<const row> rows) {
    using error::bad_call, error::bad_input, error::require;
    require_usable("begin");
    require<bad_input>(rows.size() <= options_.max_rows, "step: ", rows.size(),
                       " rows (expected at most max_rows = ", options_.max_rows, ")");
    rows_.assign(rows, options_.max_draft_rows, options_.max_draft_width);
    require<bad_input>(rows_.deepest() <= draft_room(rows_.finals()), "step: provisional rows ",
                       rows_.deepest(), " deep (expected at most ", draft_room(rows_.finals()),
                       ", to the next boundary)");
    require<bad_input>(rows_.finals() + rows_.deepest() <= room(),
                       "step: ", rows_.finals() + rows_.deepest(),
                       " more tokens than fit (room for ", room(), "; keep_all evicts nothing)");
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      const position p{length() + rows_.offset(r)};
      angles_.factors(p, row_cos(r), row_sin(r));
    }
    keeper().begin(rows_);
    next_layer_ = 0;
    open_ = true;
    step_evictions_ = 0;
    return step(*this);
  }

  /// Takes back the last token. Once after each commit; throws error::bad_call otherwise.
  void take_back() {
    require_usable("take_back");
    error::require<error::bad_call>(may_take_back_,
                                    "take_back: only the last token can be taken back, once");
    if constexpr (!keeper_type::has_boundaries)
      stats_.evicted_entries = positional_evictions(length() - 1);
    keeper().take_back();
    --stats_.appended;
    may_take_back_ = false;
  }

  /// Forgets the stream. The memory stays.
  void reset() {
    error::require<error::bad_call>(!open_, "reset: a step is open");
    keeper().reset();
    stats_ = {};
    broken_ = may_take_back_ = false;
  }

  /// Stream index of the next token.
  std::uint64_t length() const { return keeper().length(); }
  /// Tokens that can be appended before the stream is full; without bound unless keep_all.
  std::uint64_t room() const { return keeper().room(); }
  /// How deep provisional rows may go behind `finals` final rows of the same step.
  std::size_t draft_room(std::size_t finals) const {
    return std::min(keeper().draft_room(finals), options_.max_draft_rows);
  }
  /// Most entries that any row reads.
  std::size_t most_entries() const { return keeper().most_entries(); }
  /// Bytes held: those of required_bytes.
  std::size_t bytes() const { return memory_.bytes(); }

  const kv_shape& shape() const { return shape_; }
  const cache_options& options() const { return options_; }
  const cache_stats& stats() const { return stats_; }

  /// A live entry: one that the next token could read.
  struct entry {
    stream_index index;
    std::uint32_t tile, lane;      ///< where it lies
    std::span<const float> key;    ///< [head_dim] as stored, decoded
    std::span<const float> value;  ///< [head_dim] decoded
  };

  /// Calls `visit(const entry&)` for the live entries of a (layer, KV head), in stream order.
  /// For looking, not for decoding: O(entries · head_dim).
  template <class Visit>
  void for_each_entry(std::size_t layer, std::size_t head, Visit visit) const {
    std::vector<float> key(shape_.head_dim), value(shape_.head_dim);
    keeper().for_each_live(layer * shape_.kv_heads + head, [&](std::uint64_t index, tile_place p) {
      parts_.store.read_key(layer, head, p, key.data());
      parts_.store.read_value(layer, head, p, value.data());
      visit(entry{{index}, p.tile, p.lane, key, value});
    });
  }

 private:
  keeper_type& keeper() { return parts_.keeper; }
  const keeper_type& keeper() const { return parts_.keeper; }
  executor& threads() { return options_.threads != nullptr ? *options_.threads : serial_; }

  float* at(arena_plan::block<float> b) const { return memory_[b].data(); }
  float* row_cos(std::size_t r) const { return at(parts_.row_cos) + r * shape_.rope.dims; }
  float* row_sin(std::size_t r) const { return at(parts_.row_sin) + r * shape_.rope.dims; }

  void require_usable(const char* call) const {
    using error::bad_call, error::require;
    require<bad_call>(!open_, call, ": a step is open (expected commit or rollback first)");
    require<bad_call>(!broken_, call,
                      ": the stream lost final rows half-way and can only be reset");
  }

  void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
              std::span<const float> v, std::span<float> out) {
    using error::bad_call, error::bad_input, error::require;
    require<bad_call>(layer == next_layer_ && layer < shape_.layers, "attend: layer ", layer,
                      " (expected layer ", next_layer_, " of ", shape_.layers, ", each once)");
    const std::size_t n = rows_.size(), q_row = shape_.q_heads * shape_.head_dim,
                      kv_row = shape_.kv_heads * shape_.head_dim;
    require<bad_input>(q.size() == n * q_row && out.size() == n * q_row, "attend: q and out of ",
                       q.size(), " and ", out.size(), " floats (expected ", n, " rows of ", q_row,
                       ")");
    require<bad_input>(k.size() == n * kv_row && v.size() == n * kv_row, "attend: k and v of ",
                       k.size(), " and ", v.size(), " floats (expected ", n, " rows of ", kv_row,
                       ")");
    ++next_layer_;
    const std::size_t finals = rows_.finals();
    for (std::size_t first = 0; first < finals;) {
      const std::size_t last = keeper().segment_end(first, finals);
      if constexpr (keeper_type::has_boundaries)
        if (keeper().boundary_due(length() + first, layer)) decide(layer, length() + first);
      attend_segment(layer, first, last, q.data(), k.data(), v.data(), out.data());
      first = last;
    }
    if (finals < n) {
      keeper().prepare(layer, rows_);
      attend_segment(layer, finals, n, q.data(), k.data(), v.data(), out.data());
    }
  }

  /// Lets every KV head of the layer decide what stays.
  void decide(std::size_t layer, std::uint64_t index) {
    const std::size_t cost = shape_.kv_heads * keeper().most_entries() * shape_.head_dim;
    std::atomic<std::uint64_t> dropped{0};
    threads().for_range(shape_.kv_heads, cost, [&](std::size_t first, std::size_t last) {
      for (std::size_t head = first; head < last; ++head) {
        const auto place = [](slot s) {
          return tile_place{s.value / static_cast<std::uint32_t>(tile_lanes),
                            s.value % static_cast<std::uint32_t>(tile_lanes)};
        };
        const auto key = [&](slot s, float* x) { parts_.store.read_key(layer, head, place(s), x); };
        const auto value = [&](slot s, float* x) {
          parts_.store.read_value(layer, head, place(s), x);
        };
        dropped += keeper().decide(layer, head, index, key, value);
      }
    });
    keeper().end_boundary(layer, index);
    step_evictions_ += dropped;
    ++stats_.boundaries;
  }

  /// Stores rows [first, last) and attends them.
  void attend_segment(std::size_t layer, std::size_t first, std::size_t last, const float* q,
                      const float* k, const float* v, float* out) {
    const std::size_t n = last - first, dim = shape_.head_dim, group = shape_.group();
    const bool two_variants = keeper().uses_sink_variant(rows_);
    const std::size_t variant_stride = parts_.segment_rows * shape_.q_heads * dim;
    float* query = at(parts_.query);
    const float scale = shape_.score_scale();

    threads().for_range(n * shape_.kv_heads, n * (shape_.q_heads + shape_.kv_heads) * dim * 8,
                        [&](std::size_t begin, std::size_t end) {
                          float key[max_head_dim], cos[max_head_dim], sin[max_head_dim];
                          for (std::size_t i = begin; i < end; ++i) {
                            const std::size_t r = first + i / shape_.kv_heads,
                                              head = i % shape_.kv_heads;
                            const std::size_t unit = layer * shape_.kv_heads + head;
                            const float *c = row_cos(r), *s = row_sin(r);
                            const float* raw = k + (r * shape_.kv_heads + head) * dim;
                            if constexpr (keeper_type::stores_rotated_keys) {
                              cpu::rotate<Arch>(shape_.rope, raw, key, dim, c, s);
                              raw = key;
                            } else {  // the query's rank among the entries that this head kept
                              const std::size_t rank = keeper().query_position(unit, rows_, r);
                              for (std::size_t p = 0; p < parts_.pairs; ++p) {
                                const std::size_t at_rank = p * keeper().ranks() + rank;
                                angles_.set_factors(p, at(parts_.rank_cos)[at_rank],
                                                    at(parts_.rank_sin)[at_rank], cos, sin);
                              }
                              c = cos;
                              s = sin;
                            }
                            parts_.store.write(layer, head, keeper().place(unit, rows_, r), raw,
                                               v + (r * shape_.kv_heads + head) * dim);
                            for (std::size_t g = 0; g < group; ++g) {
                              const std::size_t q_head = head * group + g;
                              const float* from = q + (r * shape_.q_heads + q_head) * dim;
                              float* to = query + ((r - first) * shape_.q_heads + q_head) * dim;
                              cpu::rotate<Arch>(shape_.rope, from, to, dim, c, s, scale);
                              if (two_variants)
                                cpu::rotate<Arch>(shape_.rope, from, to + variant_stride, dim,
                                                  at(parts_.sink_cos), at(parts_.sink_sin), scale);
                            }
                          }
                        });

    const auto splits = [&](std::size_t head, std::size_t a, std::size_t b) {
      return keeper().splits(layer * shape_.kv_heads + head, rows_, first + a, first + b);
    };
    const auto plan = [&](std::size_t head, std::size_t a, std::size_t b, std::size_t split,
                          visit_list& list) {
      keeper().plan(layer * shape_.kv_heads + head, rows_, first + a, first + b, split, list);
    };
    attend_job job{.layer = layer,
                   .rows = n,
                   .query = query,
                   .variant_stride = variant_stride,
                   .out = out + first * shape_.q_heads * dim,
                   .most_entries = static_cast<std::size_t>(std::min<std::uint64_t>(
                       most_entries(), length() - keeper().first_index() + last)),
                   .splits = splits,
                   .plan = plan};
    rotate_on_read rotation;
    if constexpr (!keeper_type::stores_rotated_keys) {
      rotation = {at(parts_.rank_cos), at(parts_.rank_sin), keeper().ranks(), parts_.pairs,
                  shape_.rope.pairing == rope_pairing::interleaved};
      job.rotation = &rotation;
      job.ranks = keeper().ranks(layer * shape_.kv_heads).data();
    }
    parts_.store.attend(job, threads());
  }

  commit_report commit(std::span<const std::size_t> path) {
    error::require<error::bad_call>(next_layer_ == shape_.layers, "commit: ", next_layer_,
                                    " layers attended (expected all ", shape_.layers, ")");
    rows_.require_path(path);
    for (std::size_t unit = 0; unit < shape_.units(); ++unit)
      for (const std::size_t r : path) {
        const tile_place from = keeper().place(unit, rows_, r), to = keeper().home(unit, rows_, r);
        if (from != to) parts_.store.copy(unit / shape_.kv_heads, unit % shape_.kv_heads, from, to);
      }
    commit_report report{rows_.finals() + path.size(), path.size(), step_evictions_};
    if constexpr (!keeper_type::has_boundaries)
      report.evicted_entries =
          positional_evictions(length() + report.appended) - positional_evictions(length());
    keeper().append(report.appended);
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
    if (next_layer_ == 0) return;
    broken_ = rows_.finals() > 0;
    stats_.provisional += rows_.drafts();
  }

  /// Entries that a positional policy has lost for good when `length` tokens have come.
  std::uint64_t positional_evictions(std::uint64_t length) const {
    if constexpr (!keeper_type::evicts) return 0;
    const std::uint64_t n = length - keeper().first_index(), most = keeper().most_entries();
    return n >= most ? (n - most + 1) * shape_.units() : 0;
  }

  kv_shape shape_;
  cache_options options_;
  parts parts_;
  arena memory_;
  rope_angles angles_;
  executor serial_;
  step_rows rows_;
  cache_stats stats_;
  std::size_t next_layer_ = 0;
  std::uint64_t step_evictions_ = 0;
  bool open_ = false, broken_ = false, may_take_back_ = false;
};

}  // namespace weir
