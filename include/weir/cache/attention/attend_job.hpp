// What a layer's attention has to know of the entries that rows read.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weir/core/function_ref.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/attention.hpp>

namespace weir::inline WEIR_TARGET {

/// Where the rows of a job leave their weights and scores; see raw_attention.
struct raw_attention_memory {
  float* raw_weights = nullptr;  ///< [kv_head, packed row, tile, 32]; null: not wanted
  float* raw_scores = nullptr;   ///< the same; null: not wanted
  float* largest = nullptr;      ///< [kv_head, packed row, tile]; null: nothing is wanted
  float* total = nullptr;        ///< [kv_head, packed row, 2] the row's m and d
  std::size_t tiles = 0;         ///< of a KV head: a multiple of split_tiles
};

/// One layer's attention.
struct attend_job {
  std::size_t layer = 0;
  std::size_t rows = 0;
  const float* query = nullptr;    ///< [variant, row, q_head, head_dim], rotated and scaled
  std::size_t variant_stride = 0;  ///< floats between variants
  float* out = nullptr;            ///< [row, q_head, head_dim]
  std::size_t max_entries = 0;     ///< a row reads no more: what the work is estimated from

  /// Has a KV head decide, where it is time to, and its keys, values and queries stored: before its
  /// rows are attended, on the thread that does it if one does. No two heads are at one place below
  /// the number of KV heads at a time; those that one thread has arrive share theirs.
  function_ref<void(std::size_t head, std::size_t place)> arrive;
  /// Splits that rows [first, last) of a KV head read, and the visits of the k-th of them.
  function_ref<std::size_t(std::size_t head, std::size_t first, std::size_t last)> splits;
  function_ref<void(std::size_t head, std::size_t first, std::size_t last, std::size_t k,
                    visit_list&)>
      plan;

  const rotate_on_read* rotation = nullptr;  ///< for keys stored unrotated
  const std::uint32_t* ranks = nullptr;      ///< [kv_head, rank_stride], with `rotation`
  std::size_t rank_stride = 0;
  raw_attention_memory raw = {};  ///< with it, the k-th split is split number k
  /// Called for each KV head once its rows are attended, on the thread that did it if one did; what
  /// they handed out lies where that of KV head `place` would. Null: nobody.
  const function_ref<void(std::size_t head, std::size_t place)>* finished = nullptr;
};

}  // namespace weir::inline WEIR_TARGET
