// How every case is measured: in rounds, beside plain reads of memory by the same threads.
//
// A shared machine's bandwidth swings by a factor of two within a second, so a case and the
// bandwidth it is held against are timed in turns, and the median of their ratios is taken.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <weir/core/thread_pool.hpp>
#include "support/byte_buffer.hpp"
#include "support/plain_read.hpp"
#include "support/timing.hpp"

namespace weir_bench {

/// Each bench says what it measures; support/main.cpp calls it.
void register_cases();

/// A case is one iteration for Google Benchmark: rounds and medians are made here. Its time is the
/// median of a sample.
inline void add_case(const std::string& name, std::function<void(benchmark::State&)> run) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [run = std::move(run)](benchmark::State& state) {
                                 for (auto _ : state) run(state);
                               })
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

/// The threads that cases and reads share.
inline weir::executor& threads_of(unsigned width) {
  static weir::thread_pool one(1), two(2);
  return width == 1 ? one : two;
}
inline constexpr unsigned thread_counts[] = {1, 2};

/// Memory read in turns with cases: larger than caches, a block at a time.
class plain_reads {
 public:
  static constexpr std::size_t bytes = std::size_t{512} << 20, block = bytes / 4;

  explicit plain_reads(weir::executor& threads)
      : threads_(threads), variant_(best_read_variant(memory(), threads, 3)) {}

  /// Bytes per second of the next block.
  double next() {
    at_ = (at_ + block) % bytes;
    const double t =
        seconds_of([&] { read_all(variant_, memory().subspan(at_, block), threads_); });
    return static_cast<double>(block) / t;
  }

  static plain_reads& by(unsigned width) {
    static plain_reads one(threads_of(1)), two(threads_of(2));
    return width == 1 ? one : two;
  }

 private:
  static std::span<const std::byte> memory() {
    static const byte_buffer buffer(bytes);
    return buffer.bytes();
  }

  weir::executor& threads_;
  const read_variant& variant_;
  std::size_t at_ = 0;
};

namespace detail {

/// Calls `block(samples)` in rounds; it runs that many samples and returns their seconds. Returns
/// the median of a sample.
template <class Block>
double median_of_rounds(benchmark::State& state, Block&& block) {
  constexpr double block_seconds = 0.004;
  constexpr double enough_seconds = 1, max_seconds = 10;
  constexpr std::size_t enough_rounds = 9;
  const auto samples =
      static_cast<std::size_t>(std::clamp(block_seconds / std::max(block(1), 1e-9), 1.0, 1e4));
  std::vector<double> seconds;
  for (double spent = 0;
       spent < enough_seconds || (seconds.size() < enough_rounds && spent < max_seconds);) {
    const double t = block(samples);
    spent += t;
    seconds.push_back(t / static_cast<double>(samples));
  }
  const double middle = median(seconds);
  state.SetIterationTime(middle);
  return middle;
}

template <class Sample>
double seconds_of_many(std::size_t samples, Sample& sample) {
  return seconds_of([&] {
    for (std::size_t i = 0; i < samples; ++i) sample();
  });
}

}  // namespace detail

/// Measures `sample()` by itself. Returns its seconds.
template <class Sample>
double measure(benchmark::State& state, Sample&& sample) {
  return detail::median_of_rounds(
      state, [&](std::size_t samples) { return detail::seconds_of_many(samples, sample); });
}

/// Measures `sample()`, which reads `bytes` bytes, beside plain reads. Counters: GB_per_s, and
/// `fraction`, the share that this is of the bandwidth around it. Each sample's seconds are told to
/// `also`.
template <class Sample, class Also>
void measure_beside_reads(benchmark::State& state, unsigned width, double bytes, Sample&& sample,
                          Also&& also) {
  plain_reads& reads = plain_reads::by(width);
  std::vector<double> fractions;
  const double seconds = detail::median_of_rounds(state, [&](std::size_t samples) {
    const double bandwidth = reads.next();
    sample();  // untimed: what is hot in this case is cold after the read
    const double t = detail::seconds_of_many(samples, sample);
    fractions.push_back(bytes * static_cast<double>(samples) / t / bandwidth);
    also(t / static_cast<double>(samples));
    return t;
  });
  state.counters["GB_per_s"] = bytes / seconds / 1e9;
  state.counters["fraction"] = median(fractions);
}

template <class Sample>
void measure_beside_reads(benchmark::State& state, unsigned width, double bytes, Sample&& sample) {
  measure_beside_reads(state, width, bytes, sample, [](double) {});
}

}  // namespace weir_bench
