// Causal attention written to be read: everything is kept, sums are in float64.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <weir/model/llama_config.hpp>

namespace weir_test {

/// R(position) of one head, pairs (2i, 2i + 1), angle position · base^(−2i / dims).
inline std::vector<double> rotated(const double* head, const weir::llama_config& c,
                                   std::size_t position) {
  std::vector<double> out(head, head + c.head_dim);
  for (std::size_t i = 0; i < c.rope_dimension_count; i += 2) {
    const double angle =
        static_cast<double>(position) *
        std::pow(c.rope_freq_base,
                 -static_cast<double>(i) / static_cast<double>(c.rope_dimension_count));
    out[i] = head[i] * std::cos(angle) - head[i + 1] * std::sin(angle);
    out[i + 1] = head[i] * std::sin(angle) + head[i + 1] * std::cos(angle);
  }
  return out;
}

/// One stream. Rows of a step follow those of the steps before it.
class naive_attention {
 public:
  explicit naive_attention(const weir::llama_config& config)
      : c_(config), keys_(config.block_count), values_(config.block_count) {}

  /// q and out [row, query head, head_dim], k and v [row, KV head, head_dim].
  template <class T>
  void attend(std::size_t layer, std::size_t rows, const T* q, const T* k, const T* v, T* out) {
    auto& keys = keys_[layer];
    auto& values = values_[layer];
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t position = keys.size();
      std::vector<double> key, value;
      for (std::size_t h = 0; h < c_.head_count_kv; ++h) {
        const std::vector<double> head = copy(k, row * c_.head_count_kv + h);
        const std::vector<double> turned = rotated(head.data(), c_, position);
        key.insert(key.end(), turned.begin(), turned.end());
        const std::vector<double> plain = copy(v, row * c_.head_count_kv + h);
        value.insert(value.end(), plain.begin(), plain.end());
      }
      keys.push_back(key);
      values.push_back(value);
      for (std::size_t h = 0; h < c_.head_count; ++h) {
        const std::size_t at = h / (c_.head_count / c_.head_count_kv) * c_.head_dim;
        const std::vector<double> head = copy(q, row * c_.head_count + h);
        const std::vector<double> query = rotated(head.data(), c_, position);
        std::vector<double> weight(keys.size());
        double most = -INFINITY, sum = 0;
        for (std::size_t t = 0; t < keys.size(); ++t) {
          for (std::size_t d = 0; d < c_.head_dim; ++d) weight[t] += query[d] * keys[t][at + d];
          weight[t] /= std::sqrt(static_cast<double>(c_.head_dim));
          most = std::fmax(most, weight[t]);
        }
        for (double& w : weight) sum += w = std::exp(w - most);
        for (std::size_t d = 0; d < c_.head_dim; ++d) {
          double mean = 0;
          for (std::size_t t = 0; t < keys.size(); ++t) mean += weight[t] / sum * values[t][at + d];
          out[(row * c_.head_count + h) * c_.head_dim + d] = static_cast<T>(mean);
        }
      }
    }
  }

 private:
  template <class T>
  std::vector<double> copy(const T* x, std::size_t head) const {
    return {x + head * c_.head_dim, x + (head + 1) * c_.head_dim};
  }

  weir::llama_config c_;
  std::vector<std::vector<std::vector<double>>> keys_,
      values_;  // [layer][token][KV head, head_dim]
};

}  // namespace weir_test
