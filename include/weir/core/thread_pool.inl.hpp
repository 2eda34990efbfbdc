// Bodies of core/thread_pool.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <system_error>

#include <weir/core/available_threads.hpp>
#include <weir/core/error.hpp>
#include <weir/core/function_ref.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/core/undo.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE thread_pool::thread_pool(unsigned width) WEIR_TRY {
  if (width == 0) width = std::min(available_threads(), max_width);
  error::require<error::bad_config>(width <= max_width, "threads: ", width, " (expected 1 to ",
                                    max_width, ")");
  claims_ = std::make_unique<claim[]>(width);
  workers_.reserve(width - 1);
  undo_unless_done started([this] { stop(); });  // whatever passes, a running thread must be joined
  error::attempt<std::system_error>(
      [&] {
        for (unsigned part = 1; part < width; ++part)
          workers_.emplace_back([this, part] { work(part); });
      },
      [&](const std::system_error&) {
        error::raise<error::bad_config>("threads: ", width, " (expected at most ",
                                        workers_.size() + 1, ", all that could be started)");
      });
  started.done();
}
WEIR_OR_OUT_OF_MEMORY("threads")

WEIR_INLINE void thread_pool::run(function_ref<void(unsigned)> part) {
  if (workers_.empty()) return part(0);
  const unsigned parts = width();
  job_ = &part;
  pending_.store(parts - 1, std::memory_order_relaxed);
  const std::uint32_t round = round_.fetch_add(1, std::memory_order_release) + 1;
  round_.notify_all();
  part(0);
  for (unsigned i = 1; i < parts; ++i)
    if (take(i, round)) {
      part(i);
      pending_.fetch_sub(1, std::memory_order_relaxed);
    }
  wait_while(pending_, [](std::uint32_t left) { return left != 0; });
}

WEIR_INLINE void thread_pool::stop() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& worker : workers_) worker.join();
}

WEIR_INLINE void thread_pool::work(unsigned part) {
  std::uint32_t done = 0;
  for (;;) {
    done = wait_while(round_, [done](std::uint32_t round) { return round == done; });
    if (stopping_) return;
    if (!take(part, done)) continue;
    (*job_)(part);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

}  // namespace weir::inline WEIR_TARGET
