// Bodies of model/load_model.hpp.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include <weir/core/arena.hpp>
#include <weir/core/out_of_memory.hpp>
#include <weir/core/target.hpp>
#include <weir/core/thread_pool.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/load_model.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE llama_model::llama_model(gguf_file source) WEIR_TRY
    : file(std::move(source)),
      config(read_llama_config(file)),
      weights(read_llama_weights(file, config)),
      tokenizer(file),
      kv_ranges(read_kv_ranges(weights, config)) {}
WEIR_OR_OUT_OF_MEMORY("llama_model")

WEIR_INLINE void llama_model::repack(unsigned threads) {
  if (panels.bytes() > 0) return;
  thread_pool pool(threads);
  arena_plan plan;
  const auto room = plan.reserve<std::byte>(repack_bytes());
  panels = arena(plan);
  std::byte* at = panels[room].data();
  for_each_product(weights, [&](matrix_view& m) {
    if (!can_repack(m.type)) return;
    m = weir::repack(m, at, pool);
    at += in_cache_lines(m.bytes());
  });
}

WEIR_INLINE std::size_t llama_model::repack_bytes() const {
  std::size_t bytes = 0;
  for_each_product(weights, [&](const matrix_view& m) {
    if (can_repack(m.type)) bytes += in_cache_lines(m.bytes());
  });
  return bytes;
}

WEIR_INLINE llama_model load_model(const std::string& path, const load_options& options) {
  llama_model model{gguf_file(path, {.map = options.map})};
  if (options.repack) model.repack(options.threads);
  return model;
}

}  // namespace weir::inline WEIR_TARGET
