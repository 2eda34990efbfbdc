// Many rows at once. prefill/<type>/<tokens>/<threads>: the matrix products of one layer of a 1.1B
// model. prefill/model_<type>/<tokens>/<threads>: all of such a model, on a new stream.
#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include <weir/kernels/cpu/matmul.hpp>
#include <weir/stream/token_stream.hpp>
#include "support/measure.hpp"
#include "support/random.hpp"
#include "support/synthetic_model.hpp"
#include "support/weights.hpp"

namespace weir_bench {
namespace {

void products(benchmark::State& state, weir::weight_type type, std::size_t tokens, unsigned width) {
  std::deque<weight_matrices> matrices;
  std::size_t widest = 0, macs = 0;
  for (const auto& [name, rows, cols] : synthetic_shape{}.layer_matrices()) {
    matrices.emplace_back(type, rows, cols, 1);
    widest = std::max({widest, rows, cols});
    macs += tokens * rows * cols;
  }
  const product_memory scratch(tokens, widest);
  const std::vector<float> x = normal_floats(tokens * widest, 1, 2);
  std::vector<float> y(tokens * widest);
  const double seconds = measure(state, [&] {
    for (const weight_matrices& m : matrices)
      weir::matmul(m[0], x.data(), tokens, y.data(), scratch, threads_of(width));
  });
  state.counters["GMAC_per_s"] = static_cast<double>(macs) / seconds / 1e9;
}

void whole_model(benchmark::State& state, weir::weight_type type, std::size_t tokens,
                 unsigned width) {
  const weir::llama_model model = synthetic_model(type);
  weir::token_stream<weir::kv_cache<weir::f16, weir::keep_all>> stream(
      model, {tokens}, {.chunk = tokens, .workers = &threads_of(width)});
  std::vector<weir::token_id> prompt(tokens);
  for (std::size_t i = 0; i < tokens; ++i)
    prompt[i] = static_cast<weir::token_id>(i * 7919 % model.config.vocab_size);
  const double seconds = measure(state, [&] {
    stream.reset();
    stream.feed(prompt);
    benchmark::DoNotOptimize(stream.logits().data());
  });
  state.counters["tokens_per_s"] = static_cast<double>(tokens) / seconds;
}

}  // namespace

void register_cases() {
  for (const weir::weight_type type : all_weight_types)
    for (const std::size_t tokens : {64u, 512u})
      for (const unsigned width : thread_counts)
        add_case(
            "prefill/" + name_of(type) + '/' + std::to_string(tokens) + '/' + std::to_string(width),
            [=](benchmark::State& state) { products(state, type, tokens, width); });
  add_case("prefill/model_q8_0/512/2",
           [](benchmark::State& state) { whole_model(state, weir::weight_type::q8_0, 512, 2); });
}

}  // namespace weir_bench
