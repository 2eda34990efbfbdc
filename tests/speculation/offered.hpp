// Heads and masks for models that have none: nobody trained them, so that they are right now and
// then.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <weir/kernels/product_kernels.hpp>
#include <weir/kernels/row_kernels.hpp>
#include <weir/model/load_model.hpp>

namespace weir_test {

/// Each says again what the output matrix, of floats, says of the row.
struct repeating_heads {
  const weir::llama_model* model;

  std::size_t heads() const { return 2; }
  void logits(std::size_t, std::span<const float> hidden, std::span<float> out,
              weir::executor& threads) const {
    std::vector<float> normed(hidden.size());
    weir::kernels<weir::row_kernels>().rms_norm(hidden.data(), model->weights.output_norm.data(), 1,
                                                hidden.size(), model->config.rms_epsilon,
                                                normed.data(), threads);
    weir::kernels<weir::product_kernels>().matmul(model->weights.output, normed.data(), 1,
                                                  out.data(), {}, threads);
  }
};

/// In the middle of some tokens' embeddings, a third of them for each mask.
class middle_masks {
 public:
  explicit middle_masks(const weir::llama_model& model) {
    constexpr std::size_t first = 259, tokens = 48;  // behind the bytes, where frequent ones are
    const std::size_t width = model.config.embedding_length, words = model.config.vocab_size;
    std::vector<float> row(width);
    values_.assign(masks() * width, 0);
    for (std::size_t t = 0; t < tokens; ++t) {
      weir::kernels<weir::product_kernels>().load_row(model.weights.token_embedding,
                                                      (first + t) % words, row.data());
      for (std::size_t i = 0; i < width; ++i)
        values_[t % masks() * width + i] += row[i] * static_cast<float>(masks()) / tokens;
    }
  }
  std::size_t masks() const { return 3; }
  std::span<const float> embeddings() const { return values_; }

 private:
  std::vector<float> values_;
};

}  // namespace weir_test
