// One step of a cache: rows attended layer by layer, then committed or taken back.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>

#include <weir/cache/cache_reports.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// An open step. Closing it without commit takes its provisional rows back.
template <class Cache>
class cache_step {
 public:
  cache_step(cache_step&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)) {}
  cache_step& operator=(cache_step&&) = delete;
  ~cache_step() { rollback(); }

  /// Adds provisional rows to the step, as children of rows it has. They attend as the others did:
  /// a draft model grows its tree this way, one depth at a time. Throws what kv_cache::begin
  /// throws; then nothing has changed.
  void extend(std::span<const row> rows) {
    error::require<error::bad_call>(cache_ != nullptr, "extend: the step is closed");
    cache_->extend(rows);
  }

  /// Attention in one layer of those rows that have attended in the layer before it and not yet in
  /// this one: of every row, if layers come in rising order, each once. `q` and `out`: `[row,
  /// q_head, head_dim]`; `k` and `v`: `[row, kv_head, head_dim]`; q and k unrotated, unless
  /// kv_shape.rope.dims is 0. Throws error::bad_input on a span of another size, error::bad_call on
  /// a layer out of turn; then nothing has changed. Throws error::bad_call, too, and breaks the
  /// stream, if forks whose steps are open at once leave no page.
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
  friend Cache;
  explicit cache_step(Cache& owner) : cache_(&owner) {}
  Cache* cache_;
};

}  // namespace weir::inline WEIR_TARGET
