// Threads: ranges shared out over a small persistent pool, or over an executor of the user's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <weir/core/arena.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/shared_range.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Whatever can call `part(0)` … `part(width - 1)`, in any order, perhaps at once, and returns
/// when all have returned. Results never depend on the width: it decides who works, not what is
/// added to what.
class executor {
 public:
  /// Runs everything on the calling thread.
  executor() = default;
  virtual ~executor() = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  virtual unsigned width() const { return 1; }
  virtual void run(function_ref<void(unsigned)> part) { part(0); }

  /// Splits [0, n) into ranges that are not empty and calls `body(first, last)` for each: even
  /// shares of `width()` threads, in pieces, so that whoever is through with its own helps.
  /// `cost` is a rough count of multiply-adds (or bytes) for the whole call: below the price of
  /// waking a thread, it stays on this one.
  template <class Body>
  void for_range(std::size_t n, std::size_t cost, Body&& body) {
    const unsigned parts = width();
    if (parts == 1 || n < 2 || cost < worth_sharing) {
      if (n > 0) body(std::size_t{0}, n);
      return;
    }
    const std::size_t pieces = std::min<std::size_t>(n, pieces_of_a_share * parts);
    shared_range range(pieces, parts);
    run([&](unsigned part) {
      while (const auto p = range.take_half(part))
        body(n * p->first / pieces, n * p->last / pieces);
    });
  }

  /// About 5 µs of one core's arithmetic.
  static constexpr std::size_t worth_sharing = 1 << 16;

 private:
  static constexpr std::size_t pieces_of_a_share = 32;
};

/// A fixed set of threads. Between calls they spin for a few microseconds and then sleep, so that
/// more threads than cores work too.
class thread_pool final : public executor {
 public:
  /// `width` includes the calling thread. 0 stands for as many as this process may use:
  /// available_threads(). Throws error::bad_config for more than 1024 or than can be started,
  /// error::out_of_memory.
  explicit thread_pool(unsigned width = 0);

  ~thread_pool() override { stop(); }

  unsigned width() const override { return static_cast<unsigned>(workers_.size()) + 1; }

  /// `part` must not throw. A part whose thread has not woken by the time the calling thread is
  /// through with its own is done by the calling thread: on a busy machine nobody waits for a
  /// thread that is not running.
  WEIR_INLINE void run(function_ref<void(unsigned)> part) override;  // inline here: no key function

 private:
  static constexpr unsigned max_width = 1024;
  static constexpr int spins = 2000;

  /// The last round whose part somebody took on; a cache line each.
  struct alignas(cache_line) claim {
    std::atomic<std::uint32_t> round{0};
  };

  /// True for exactly one caller a round and part. Whoever comes late, in a later round, fails.
  bool take(unsigned part, std::uint32_t round) {
    std::uint32_t before = round - 1;
    return claims_[part].round.compare_exchange_strong(before, round, std::memory_order_acq_rel);
  }

  void stop();

  template <class Keep>
  static std::uint32_t wait_while(std::atomic<std::uint32_t>& value, Keep keep_waiting) {
    for (int spin = 0;; ++spin) {
      const std::uint32_t seen = value.load(std::memory_order_acquire);
      if (!keep_waiting(seen)) return seen;
      if (spin < spins) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
      } else {
        value.wait(seen, std::memory_order_acquire);
      }
    }
  }

  void work(unsigned part);

  alignas(cache_line) std::atomic<std::uint32_t> round_{0};
  alignas(cache_line) std::atomic<std::uint32_t> pending_{0};
  const function_ref<void(unsigned)>* job_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<claim[]> claims_;  // [part]
  std::vector<std::thread> workers_;
};

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/core/thread_pool.inl.hpp>
#endif
