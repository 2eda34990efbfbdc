// A cache whose policies are chosen at run time: one virtual call per layer and step, so that
// streams and sessions are compiled once, whatever the caches they run over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include <weir/stream/token_stream.hpp>

namespace tool {

/// kv_cache with its open step inside.
class any_cache {
 public:
  virtual ~any_cache() = default;
  virtual void begin(std::span<const weir::row> rows) = 0;
  virtual void extend(std::span<const weir::row> rows) = 0;
  virtual void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
                      std::span<const float> v, std::span<float> out) = 0;
  virtual weir::commit_report commit(std::span<const std::size_t> path) = 0;
  virtual void close() noexcept = 0;
  virtual void reset() = 0;
  virtual void tell_log_probability(std::uint64_t index, float log_probability) = 0;
  virtual std::uint64_t length() const = 0;
  virtual std::uint64_t room() const = 0;
  virtual std::uint64_t finals_room() const = 0;
  virtual std::size_t draft_room(std::size_t finals) const = 0;
  virtual std::size_t most_entries() const = 0;
  virtual std::size_t bytes() const = 0;
  virtual const weir::kv_shape& shape() const = 0;
  virtual const weir::cache_options& options() const = 0;
  virtual const weir::cache_stats& stats() const = 0;
  /// Stream indices of the live entries of a (layer, KV head), rising.
  virtual std::vector<std::uint64_t> live(std::size_t layer, std::size_t head) const = 0;
};

template <class Cache>
class one_cache final : public any_cache {
 public:
  one_cache(const weir::kv_shape& shape, weir::keep_of<Cache> keep,
            const weir::cache_options& options)
      : cache_(shape, std::move(keep), options) {}
  void begin(std::span<const weir::row> rows) override { step_.emplace(cache_.begin(rows)); }
  void extend(std::span<const weir::row> rows) override { step_->extend(rows); }
  void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
              std::span<const float> v, std::span<float> out) override {
    step_->attend(layer, q, k, v, out);
  }
  weir::commit_report commit(std::span<const std::size_t> path) override {
    return step_->commit(path);
  }
  void close() noexcept override { step_.reset(); }
  void reset() override { cache_.reset(); }
  void tell_log_probability(std::uint64_t index, float log_probability) override {
    if constexpr (Cache::wants_log_probabilities)
      cache_.tell_log_probability(index, log_probability);
  }
  std::uint64_t length() const override { return cache_.length(); }
  std::uint64_t room() const override { return cache_.room(); }
  std::uint64_t finals_room() const override { return cache_.finals_room(); }
  std::size_t draft_room(std::size_t finals) const override { return cache_.draft_room(finals); }
  std::size_t most_entries() const override { return cache_.most_entries(); }
  std::size_t bytes() const override { return cache_.bytes(); }
  const weir::kv_shape& shape() const override { return cache_.shape(); }
  const weir::cache_options& options() const override { return cache_.options(); }
  const weir::cache_stats& stats() const override { return cache_.stats(); }
  std::vector<std::uint64_t> live(std::size_t layer, std::size_t head) const override {
    std::vector<std::uint64_t> all;
    cache_.for_each_index(layer, head, [&](weir::stream_index i) { all.push_back(i.value); });
    return all;
  }

 private:
  Cache cache_;
  std::optional<typename Cache::step> step_;
};

/// Makes a cache. Throws what the cache's constructor throws.
struct cache_maker {
  using function = std::unique_ptr<any_cache>(const weir::kv_shape&, const weir::cache_options&);
  bool wants_log_probabilities = false;
  std::function<function> make;
};

/// A maker of caches of this type, once their policy is known.
template <class Cache>
cache_maker maker_of(weir::keep_of<Cache> keep) {
  return {
      Cache::wants_log_probabilities,
      [keep = std::move(keep)](const weir::kv_shape& shape, const weir::cache_options& options) {
        return std::make_unique<one_cache<Cache>>(shape, keep, options);
      }};
}

/// What a stream expects of a cache.
template <bool WantsLogProbabilities>
class chosen_cache {
 public:
  static constexpr bool wants_log_probabilities = WantsLogProbabilities;

  chosen_cache(const weir::kv_shape& shape, const cache_maker& maker,
               const weir::cache_options& options)
      : cache_(maker.make(shape, options)) {}

  class step {
   public:
    explicit step(any_cache& cache) : cache_(&cache) {}
    step(step&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)) {}
    step& operator=(step&&) = delete;
    ~step() {
      if (cache_ != nullptr) cache_->close();
    }
    void extend(std::span<const weir::row> rows) { cache_->extend(rows); }
    void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
                std::span<const float> v, std::span<float> out) {
      cache_->attend(layer, q, k, v, out);
    }
    weir::commit_report commit(std::span<const std::size_t> path = {}) {
      return std::exchange(cache_, nullptr)->commit(path);
    }

   private:
    any_cache* cache_;
  };

  [[nodiscard]] step begin(std::span<const weir::row> rows) {
    cache_->begin(rows);
    return step(*cache_);
  }
  void reset() { cache_->reset(); }
  void tell_log_probability(std::uint64_t index, float log_probability) {
    cache_->tell_log_probability(index, log_probability);
  }
  std::uint64_t length() const { return cache_->length(); }
  std::uint64_t room() const { return cache_->room(); }
  std::uint64_t finals_room() const { return cache_->finals_room(); }
  std::size_t draft_room(std::size_t finals) const { return cache_->draft_room(finals); }
  std::size_t bytes() const { return cache_->bytes(); }
  const weir::kv_shape& shape() const { return cache_->shape(); }
  const weir::cache_options& options() const { return cache_->options(); }
  /// The rest of what it can tell.
  const any_cache& told() const { return *cache_; }

 private:
  std::unique_ptr<any_cache> cache_;
};

}  // namespace tool

/// A stream over a chosen cache is made from a cache_maker, where others take a policy.
template <bool WantsLogProbabilities>
struct weir::detail::cache_keep<tool::chosen_cache<WantsLogProbabilities>> {
  using type = tool::cache_maker;
};
