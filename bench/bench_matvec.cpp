// One row times a matrix of Llama 3 8B, 4096 outputs of 14336 weights each:
// matvec/<type>/<threads>. Matrices take turns, so that each comes from memory.
#include <cstddef>
#include <string>
#include <vector>

#include <weir/kernels/cpu/matmul.hpp>
#include "support/measure.hpp"
#include "support/random.hpp"
#include "support/weights.hpp"

namespace weir_bench {
namespace {

constexpr std::size_t outputs = 4096, cols = 14336, cold_bytes = std::size_t{512} << 20;

void matvec(benchmark::State& state, weir::weight_type type, unsigned width) {
  const std::size_t bytes = outputs * weir::row_bytes(type, cols);
  const weight_matrices matrices(type, outputs, cols, cold_bytes / bytes + 1);
  const product_memory scratch(1, cols);
  const std::vector<float> x = normal_floats(cols, 1, 2);
  std::vector<float> y(outputs);
  std::size_t next = 0;
  measure_beside_reads(state, width, static_cast<double>(bytes), [&] {
    weir::matmul(matrices[next], x.data(), 1, y.data(), scratch, threads_of(width));
    next = (next + 1) % matrices.count();
  });
}

}  // namespace

void register_cases() {
  for (const weir::weight_type type : all_weight_types)
    for (const unsigned width : thread_counts)
      add_case("matvec/" + name_of(type) + '/' + std::to_string(width),
               [=](benchmark::State& state) { matvec(state, type, width); });
}

}  // namespace weir_bench
