// Streams over caches whose policies are chosen at run time, so that streams are compiled once,
// whatever the caches they run over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <weir/cache/any_cache.hpp>
#include <weir/core/error.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/stream/stream_options.hpp>

namespace weir::inline WEIR_TARGET {

/// Makes caches: what a stream over chosen caches takes where others take a policy list.
struct cache_maker {
  using function = std::unique_ptr<any_cache>(const kv_shape&, const cache_options&);
  using bytes_function = std::size_t(const kv_shape&, const cache_options&);
  bool wants_log_probabilities = false;
  std::function<function> make;  ///< throws what the cache's constructor throws
  std::function<bytes_function> required_bytes;
};

/// A maker of caches of this type, once their policies are known.
template <class Cache>
cache_maker maker_of(keep_of<Cache> keep) {
  return {
      Cache::wants_log_probabilities,
      [keep](const kv_shape& shape, const cache_options& options) -> std::unique_ptr<any_cache> {
        return std::make_unique<one_cache<Cache>>(shape, keep, options);
      },
      [keep](const kv_shape& shape, const cache_options& options) {
        return Cache::required_bytes(shape, keep, options);
      }};
}

/// A cache as streams want one. Policies that go by log-probabilities, and only these, need
/// `WantsLogProbabilities`.
template <bool WantsLogProbabilities = false>
class chosen_cache {
 public:
  static constexpr bool wants_log_probabilities = WantsLogProbabilities;

  chosen_cache(const kv_shape& shape, const cache_maker& maker,
               const cache_options& options) WEIR_TRY
      : cache_(checked(maker).make(shape, options)) {
    error::require<error::bad_config>(
        cache_->wants_log_probabilities() == WantsLogProbabilities, "chosen_cache<",
        WantsLogProbabilities ? "true" : "false", ">: the policy ",
        WantsLogProbabilities ? "does not go" : "goes", " by log-probabilities");
  }
  WEIR_OR_OUT_OF_MEMORY("chosen_cache")
  static std::size_t required_bytes(const kv_shape& shape, const cache_maker& maker,
                                    const cache_options& options) {
    return checked(maker).required_bytes(shape, options);
  }

  class step {
   public:
    explicit step(any_cache& cache) : cache_(&cache) {}
    step(step&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)) {}
    step& operator=(step&&) = delete;
    ~step() {
      if (cache_ != nullptr) cache_->rollback();
    }
    void extend(std::span<const row> rows) { cache_->extend(rows); }
    void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
                std::span<const float> v, std::span<float> out) {
      cache_->attend(layer, q, k, v, out);
    }
    commit_report commit(std::span<const std::size_t> path = {}) {
      const commit_report report = cache_->commit(path);
      cache_ = nullptr;
      return report;
    }

   private:
    any_cache* cache_;
  };

  [[nodiscard]] step begin(std::span<const row> rows) {
    cache_->begin(rows);
    return step(*cache_);
  }
  void reset() { cache_->reset(); }
  void tell_log_probability(std::uint64_t index, float value) {
    cache_->tell_log_probability(index, value);
  }
  std::uint64_t length() const { return cache_->length(); }
  std::uint64_t room() const { return cache_->room(); }
  std::uint64_t finals_room() const { return cache_->finals_room(); }
  std::size_t draft_room(std::size_t finals) const { return cache_->draft_room(finals); }
  std::size_t bytes() const { return cache_->bytes(); }
  const kv_shape& shape() const { return cache_->shape(); }
  const cache_options& options() const { return cache_->options(); }
  /// The rest of what it can tell.
  const any_cache& told() const { return *cache_; }

 private:
  static const cache_maker& checked(const cache_maker& maker) {
    error::require<error::bad_config>(maker.make && maker.required_bytes,
                                      "cache_maker: a null function (expected maker_of)");
    return maker;
  }

  std::unique_ptr<any_cache> cache_;
};

/// A stream over a chosen cache is made from a cache_maker, where others take a policy list.
template <bool WantsLogProbabilities>
struct detail::cache_keep<chosen_cache<WantsLogProbabilities>> {
  using type = cache_maker;
};

}  // namespace weir::inline WEIR_TARGET
