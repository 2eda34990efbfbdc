// One token through a 1.1B model of random weights, logits included, behind a cache in f16 that
// keeps everything: decode/<type>/<cache tokens>/<threads>.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <weir/model/llama.hpp>
#include <weir/stream/token_stream.hpp>
#include "support/filled_cache.hpp"
#include "support/measure.hpp"
#include "support/synthetic_model.hpp"

namespace weir_bench {
namespace {

void decode(benchmark::State& state, weir::weight_type type, std::size_t tokens, unsigned width) {
  const weir::llama_model model = synthetic_model(type);
  weir::executor& threads = threads_of(width);
  const weir::kv_shape shape = weir::shape_of(model.config);
  filled_cache<weir::f16> cache(shape, tokens);
  cache.use_threads(width);
  weir::llama_pass pass(model.config, model.weights, 1);
  std::vector<float> logits(model.config.vocab_size);
  const std::size_t q_row = shape.q_heads * shape.head_dim,
                    kv_row = shape.kv_heads * shape.head_dim;
  const weir::token_id token = 1000;

  const double bytes = weight_bytes(model.weights) +
                       static_cast<double>(shape.layers) * cache.bytes_read_per_layer();
  measure_beside_reads(state, width, bytes, [&] {
    auto step = cache.begin();
    pass.forward(
        {&token, 1},
        [&](std::size_t layer, const float* q, const float* k, const float* v, float* out) {
          step.attend(layer, {q, q_row}, {k, kv_row}, {v, kv_row}, {out, q_row});
        },
        threads);
    pass.logits(0, 1, logits.data(), threads);
  });
}

}  // namespace

void register_cases() {
  using enum weir::weight_type;
  for (const weir::weight_type type : {q8_0, f16, q4_0, q4_k, q6_k})
    for (const std::size_t tokens : {0u, 4096u, 16384u})
      for (const unsigned width : thread_counts)
        add_case(
            "decode/" + name_of(type) + '/' + std::to_string(tokens) + '/' + std::to_string(width),
            [=](benchmark::State& state) { decode(state, type, tokens, width); });
}

}  // namespace weir_bench
