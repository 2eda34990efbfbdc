// A cache of any type behind one interface: for policies that are chosen at run time. One virtual
// call for each layer of a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include <weir/cache/kv_cache.hpp>
#include <weir/core/error.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What kv_cache does, with its open step inside. Every call is kv_cache's or its step's of the
/// same name: see there.
class any_cache {
 public:
  virtual ~any_cache() = default;

  virtual void begin(std::span<const row> rows) = 0;
  virtual void extend(std::span<const row> rows) = 0;
  virtual void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
                      std::span<const float> v, std::span<float> out) = 0;
  virtual commit_report commit(std::span<const std::size_t> path) = 0;
  virtual void rollback() noexcept = 0;

  virtual void take_back() = 0;
  virtual void reset() = 0;
  /// Does nothing where the policy does not ask.
  virtual void tell_log_probability(std::uint64_t index, float value) = 0;
  virtual bool wants_log_probabilities() const = 0;

  virtual std::uint64_t length() const = 0;
  virtual std::uint64_t room() const = 0;
  virtual std::uint64_t finals_room() const = 0;
  virtual std::size_t draft_room(std::size_t finals) const = 0;
  virtual std::size_t max_entries() const = 0;
  virtual std::size_t bytes() const = 0;
  virtual std::size_t pages_held() const = 0;
  virtual const kv_shape& shape() const = 0;
  virtual const cache_options& options() const = 0;
  virtual const cache_stats& stats() const = 0;
  virtual void for_each_index(std::size_t layer, std::size_t head,
                              function_ref<void(stream_index)> visit) const = 0;
  virtual void for_each_entry(std::size_t layer, std::size_t head,
                              function_ref<void(const cache_entry&)> visit) const = 0;
};

template <class Cache>
class one_cache final : public any_cache {
 public:
  template <class Keep>
  one_cache(const kv_shape& shape, const Keep& keep, const cache_options& options)
      : cache_(shape, keep, options) {}
  one_cache(const one_cache& other)
    requires std::is_copy_constructible_v<Cache>
      : cache_(other.cache_) {}
  void fork_from(const one_cache& other)
    requires std::is_copy_constructible_v<Cache>
  {
    cache_.fork_from(other.cache_);
  }

  void begin(std::span<const row> rows) override { step_.emplace(cache_.begin(rows)); }
  void extend(std::span<const row> rows) override { open_step("extend").extend(rows); }
  void attend(std::size_t layer, std::span<const float> q, std::span<const float> k,
              std::span<const float> v, std::span<float> out) override {
    open_step("attend").attend(layer, q, k, v, out);
  }
  commit_report commit(std::span<const std::size_t> path) override {
    return open_step("commit").commit(path);
  }
  void rollback() noexcept override { step_.reset(); }

  void take_back() override { cache_.take_back(); }
  void reset() override { cache_.reset(); }
  void tell_log_probability(std::uint64_t index, float value) override {
    if constexpr (Cache::wants_log_probabilities) cache_.tell_log_probability(index, value);
  }
  bool wants_log_probabilities() const override { return Cache::wants_log_probabilities; }

  std::uint64_t length() const override { return cache_.length(); }
  std::uint64_t room() const override { return cache_.room(); }
  std::uint64_t finals_room() const override { return cache_.finals_room(); }
  std::size_t draft_room(std::size_t finals) const override { return cache_.draft_room(finals); }
  std::size_t max_entries() const override { return cache_.max_entries(); }
  std::size_t bytes() const override { return cache_.bytes(); }
  std::size_t pages_held() const override { return cache_.pages_held(); }
  const kv_shape& shape() const override { return cache_.shape(); }
  const cache_options& options() const override { return cache_.options(); }
  const cache_stats& stats() const override { return cache_.stats(); }
  void for_each_index(std::size_t layer, std::size_t head,
                      function_ref<void(stream_index)> visit) const override {
    cache_.for_each_index(layer, head, visit);
  }
  void for_each_entry(std::size_t layer, std::size_t head,
                      function_ref<void(const cache_entry&)> visit) const override {
    cache_.for_each_entry(layer, head, visit);
  }

 private:
  typename Cache::step& open_step(const char* call) {
    error::require<error::bad_call>(step_.has_value(), call,
                                    ": no step is open (expected begin first)");
    return *step_;
  }

  Cache cache_;
  std::optional<typename Cache::step> step_;
};

}  // namespace weir::inline WEIR_TARGET
