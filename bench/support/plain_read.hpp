// The most that a reader can get out of this machine: whole cache lines, loaded and combined.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <benchmark/benchmark.h>
#include <weir/core/thread_pool.hpp>
#include "support/timing.hpp"

namespace weir_bench {

/// Reads `bytes` as `Streams` runs side by side, four cache lines of each in turn, and asks for
/// lines `Ahead` bytes before they are needed (0: leaves that to the processor). Their number is a
/// multiple of 256 · Streams.
template <std::size_t Streams, std::size_t Ahead>
void read_lines(std::span<const std::byte> bytes) {
  using line = std::uint64_t __attribute__((vector_size(64), may_alias));
  constexpr std::size_t turn = 4;
  const std::size_t run = bytes.size() / Streams;
  line sum[Streams][turn] = {};
  for (std::size_t at = 0; at < run; at += turn * sizeof(line))
    for (std::size_t s = 0; s < Streams; ++s)
      for (std::size_t i = 0; i < turn; ++i) {
        const std::byte* const p = bytes.data() + s * run + at + i * sizeof(line);
        if constexpr (Ahead > 0) __builtin_prefetch(p + Ahead, 0, 3);
        sum[s][i] ^= *reinterpret_cast<const line*>(p);
      }
  benchmark::DoNotOptimize(sum);
}

struct read_variant {
  const char* name;
  void (*read)(std::span<const std::byte>);
};

/// More streams, other distances and one cache line at a time were no faster anywhere.
inline constexpr std::array read_variants = {
    read_variant{"1 stream", read_lines<1, 0>},
    read_variant{"2 streams", read_lines<2, 0>},
    read_variant{"4 streams", read_lines<4, 0>},
    read_variant{"1 stream, prefetched 4 KiB ahead", read_lines<1, 4096>},
};

/// Reads `bytes`, a part for each thread.
inline void read_all(const read_variant& variant, std::span<const std::byte> bytes,
                     weir::executor& threads) {
  const std::size_t part = bytes.size() / threads.width();
  threads.run([&](unsigned i) { variant.read(bytes.subspan(i * part, part)); });
}

/// The variant that took the least time of all, tried in turns.
inline const read_variant& best_read_variant(std::span<const std::byte> bytes,
                                             weir::executor& threads, std::size_t rounds) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < read_variants.size(); ++i) {
      const double t = seconds_of([&] { read_all(read_variants[i], bytes, threads); });
      if (t < least) least = t, best = i;
    }
  return read_variants[best];
}

}  // namespace weir_bench
