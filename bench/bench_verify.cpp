// Several rows through a 1.1B model of random weights at once, as speculative decoding verifies
// them: a final row and a chain of provisional ones, the logits of all of them included, behind a
// cache in f16 of 64 tokens. verify/<type>/<rows>/<threads>. The counter `ratio` is the cost over
// that of one row, measured in turns with it.
#include <cstddef>
#include <string>
#include <vector>

#include <weir/model/llama.hpp>
#include <weir/stream/token_stream.hpp>
#include "support/filled_cache.hpp"
#include "support/measure.hpp"
#include "support/synthetic_model.hpp"

namespace weir_bench {
namespace {

class verifier {
 public:
  static constexpr std::size_t tokens = 64;

  verifier(const weir::llama_model& model, std::size_t max_rows, unsigned width)
      : threads_(threads_of(width)),
        shape_(weir::shape_of(model.config)),
        cache_(shape_, tokens, max_rows),
        pass_(model.config, model.weights, max_rows),
        ids_(max_rows),
        logits_(max_rows * model.config.vocab_size) {
    cache_.use_threads(width);
    for (std::size_t i = 0; i < max_rows; ++i) ids_[i] = static_cast<weir::token_id>(1000 + i);
  }

  void verify(std::size_t rows) {
    const std::size_t q = rows * shape_.q_heads * shape_.head_dim,
                      kv = rows * shape_.kv_heads * shape_.head_dim;
    auto step = cache_.begin_chain(rows);
    pass_.forward(
        std::span(ids_).first(rows),
        [&](std::size_t layer, const float* queries, const float* k, const float* v, float* out) {
          step.attend(layer, {queries, q}, {k, kv}, {v, kv}, {out, q});
        },
        threads_);
    pass_.logits(0, rows, logits_.data(), threads_);
    cache_.close(step);
  }

  /// Bytes of keys and values that are read, by all rows together.
  double cache_bytes() const {
    return static_cast<double>(shape_.layers) * cache_.bytes_read_per_layer();
  }

 private:
  weir::executor& threads_;
  weir::kv_shape shape_;
  filled_cache<weir::f16> cache_;
  weir::llama_pass pass_;
  std::vector<weir::token_id> ids_;
  std::vector<float> logits_;
};

void verify(benchmark::State& state, weir::weight_type type, std::size_t rows, unsigned width) {
  const weir::llama_model model = synthetic_model(type);
  verifier v(model, rows, width);
  std::vector<double> ratios;
  measure_beside_reads(
      state, width, weight_bytes(model.weights) + v.cache_bytes(), [&] { v.verify(rows); },
      [&](double seconds) { ratios.push_back(seconds / seconds_of([&] { v.verify(1); })); });
  state.counters["ratio"] = median(ratios);
}

}  // namespace

void register_cases() {
  using enum weir::weight_type;
  for (const weir::weight_type type : {q8_0, f16, q4_0, q4_k, q6_k})
    for (const std::size_t rows : {1u, 2u, 3u, 4u, 6u, 8u, 12u, 16u, 24u, 32u})
      for (const unsigned width : thread_counts)
        add_case(
            "verify/" + name_of(type) + '/' + std::to_string(rows) + '/' + std::to_string(width),
            [=](benchmark::State& state) { verify(state, type, rows, width); });
}

}  // namespace weir_bench
