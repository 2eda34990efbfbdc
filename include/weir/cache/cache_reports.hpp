// What a cache says it did.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weir/core/index.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What a cache has done since it was made or reset.
struct cache_stats {
  std::uint64_t appended = 0;         ///< tokens that entered the stream
  std::uint64_t evicted_entries = 0;  ///< (token, layer, KV head) entries no row will read again
  std::uint64_t boundaries = 0;       ///< times a layer decided
  std::uint64_t provisional = 0;      ///< provisional rows attended
  std::uint64_t accepted = 0;         ///< of which were committed
  std::uint64_t cut = 0;  ///< numbers of keys and values cut to the largest that the codec holds
};

/// A live entry of a (layer, KV head): one that the next token could read.
struct cache_entry {
  stream_index index;
  std::uint32_t tile, lane;      ///< where it lies
  std::span<const float> key;    ///< [head_dim] as stored, decoded
  std::span<const float> value;  ///< [head_dim] decoded
};

/// What one commit did.
struct commit_report {
  std::size_t appended = 0;  ///< tokens that entered the stream, accepted ones included
  std::size_t accepted = 0;  ///< provisional rows among them
  std::uint64_t evicted_entries = 0;
};

}  // namespace weir::inline WEIR_TARGET
