// Runs a cache, and says what instruction set it was compiled for. Included by a file for each of
// two instruction sets.
#pragma once

#include <string>
#include <vector>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/kernels/instruction_set.hpp>

namespace {

/// The name, and the output of attention over 40 tokens.
std::string run_cache() {
  const weir::kv_shape shape{
      .layers = 1, .q_heads = 2, .kv_heads = 1, .head_dim = 16, .rope = {.dims = 16}};
  weir::kv_cache<weir::f16, weir::keep<weir::sinks, weir::window>> cache(
      shape, {weir::sinks{4}, weir::window{28}});
  std::vector<float> q(32), k(16), v(16), out(32);
  for (int token = 0; token < 40; ++token) {
    for (std::size_t i = 0; i < 16; ++i) {
      q[i] = k[i] = 0.1f * static_cast<float>(i) - 0.02f * static_cast<float>(token);
      v[i] = q[16 + i] = 0.3f * static_cast<float>(token % 7) - k[i];
    }
    const weir::row row;
    auto step = cache.begin({&row, 1});
    step.attend(0, q, k, v, out);
    step.commit();
  }
  std::string text(weir::instruction_set());
  for (const float x : out) text += ' ' + std::to_string(x);
  return text;
}

}  // namespace
