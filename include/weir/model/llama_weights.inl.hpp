// Bodies of model/llama_weights.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kernel_group.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/kernels/product_kernels.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE matrix_view weight_reader::matrix(std::string_view name, std::size_t rows,
                                              std::size_t cols) {
  const gguf_tensor& t = take(name);
  file_.require_supported(t);
  require_dims(t, {cols, rows, 1, 1});
  // A supported type has the same number in files and in kernels.
  return {static_cast<weight_type>(t.type), rows, cols, t.data.data()};
}

WEIR_INLINE std::span<const float> weight_reader::vector(std::string_view name, std::size_t size) {
  const gguf_tensor& t = take(name);
  error::require<error::bad_file>(t.type == ggml_type::float32, file_.name(), ": tensor '", t.name,
                                  "' has type ", layout_of(t.type)->name,
                                  "; expected F32 for a norm");
  require_dims(t, {size, 1, 1, 1});
  return {reinterpret_cast<const float*>(t.data.data()), size};
}

WEIR_INLINE void weight_reader::refuse_leftovers() const {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i]) continue;
    const std::string_view name = file_.tensors()[i].name;
    for (const std::string_view part : {"blk.", "rope_", "output", "token_"})
      error::require<error::bad_file>(!name.starts_with(part), file_.name(), ": tensor '", name,
                                      "' has no place in a Llama model of this configuration");
  }
}

WEIR_INLINE const gguf_tensor& weight_reader::take(std::string_view name) {
  const gguf_tensor& t = file_.tensor(name);
  taken_[static_cast<std::size_t>(&t - file_.tensors().data())] = true;
  return t;
}

WEIR_INLINE void weight_reader::require_dims(const gguf_tensor& t,
                                             std::array<std::uint64_t, 4> expected) const {
  const auto text = [](const std::array<std::uint64_t, 4>& dims) {
    std::size_t rank = 4;
    while (rank > 1 && dims[rank - 1] == 1) --rank;
    std::string s = std::to_string(dims[0]);
    for (std::size_t i = 1; i < rank; ++i) s += " x " + std::to_string(dims[i]);
    return s;
  };
  error::require<error::bad_file>(t.dims == expected, file_.name(), ": tensor '", t.name,
                                  "' has shape ", text(t.dims), "; expected ", text(expected));
}

/// The largest √cols · ‖row · norm‖ of rows [first, last).
WEIR_INLINE float largest_product(const matrix_view& m, std::size_t first, std::size_t last,
                                  std::span<const float> norm, std::vector<float>& row) {
  constexpr std::size_t lanes = 16;
  float most = 0;
  for (std::size_t r = first; r < last; ++r) {
    kernels<product_kernels>().load_row(m, r, row.data());
    std::array<float, lanes> sum = {};
    std::size_t i = 0;
    const auto add = [&](std::size_t lane, std::size_t at) {
      const float x = row[at] * norm[at];
      sum[lane] += x * x;
    };
    for (; i + lanes <= m.cols; i += lanes)
      for (std::size_t l = 0; l < lanes; ++l) add(l, i + l);
    for (; i < m.cols; ++i) add(0, i);
    double squares = 0;
    for (const float s : sum) squares += double{s};
    const double length = std::sqrt(squares * static_cast<double>(m.cols));
    if (!(length < 0x1p127)) return 0;
    most = std::max(most, static_cast<float>(length));
  }
  return most;
}

}  // namespace detail

WEIR_INLINE std::vector<kv_range> read_kv_ranges(const llama_weights& weights,
                                                 const llama_config& config) {
  const std::size_t dim = config.head_dim;
  std::vector<float> row(config.embedding_length);
  std::vector<kv_range> ranges;
  for (const llama_layer_weights& layer : weights.layers)
    for (std::size_t first = 0; first < layer.k.rows; first += dim)
      ranges.push_back(
          {detail::largest_product(layer.k, first, first + dim, layer.attn_norm, row),
           detail::largest_product(layer.v, first, first + dim, layer.attn_norm, row)});
  return ranges;
}

WEIR_INLINE llama_weights read_llama_weights(const gguf_file& file, const llama_config& config) {
  const std::size_t width = config.embedding_length;
  const std::size_t inner = config.feed_forward_length;
  const std::size_t query_width = config.head_count * config.head_dim;
  const std::size_t kv_width = config.head_count_kv * config.head_dim;

  detail::weight_reader read(file);
  llama_weights w;
  w.token_embedding = read.matrix("token_embd.weight", config.vocab_size, width);
  w.output = file.find_tensor("output.weight") != nullptr
                 ? read.matrix("output.weight", config.vocab_size, width)
                 : w.token_embedding;
  w.output_norm = read.vector("output_norm.weight", width);

  for (std::size_t i = 0; i < config.block_count; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    llama_layer_weights layer;
    layer.attn_norm = read.vector(block + "attn_norm.weight", width);
    layer.q = read.matrix(block + "attn_q.weight", query_width, width);
    layer.k = read.matrix(block + "attn_k.weight", kv_width, width);
    layer.v = read.matrix(block + "attn_v.weight", kv_width, width);
    layer.o = read.matrix(block + "attn_output.weight", width, query_width);
    layer.ffn_norm = read.vector(block + "ffn_norm.weight", width);
    layer.gate = read.matrix(block + "ffn_gate.weight", inner, width);
    layer.up = read.matrix(block + "ffn_up.weight", inner, width);
    layer.down = read.matrix(block + "ffn_down.weight", width, inner);
    w.layers.push_back(layer);
  }
  read.refuse_leftovers();
  return w;
}

}  // namespace weir::inline WEIR_TARGET
