// The weights of a Llama model, seen in place in a GGUF file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/model/gguf.hpp>
#include <weir/model/llama_config.hpp>

namespace weir::inline WEIR_TARGET {

struct llama_layer_weights {
  std::span<const float> attn_norm;
  matrix_view q, k, v, o;
  std::span<const float> ffn_norm;
  matrix_view gate, up, down;
};

/// Valid as long as the file that they were read from.
struct llama_weights {
  matrix_view token_embedding;
  matrix_view output;  ///< equal to `token_embedding` in models that tie the two
  std::span<const float> output_norm;
  std::vector<llama_layer_weights> layers;
};

/// Calls `f` for every matrix that products are taken with, of weights that may be const.
template <class Weights, class F>
void for_each_product(Weights& weights, F&& f) {
  for (auto& layer : weights.layers) {
    f(layer.q), f(layer.k), f(layer.v), f(layer.o);
    f(layer.gate), f(layer.up), f(layer.down);
  }
  f(weights.output);
}

namespace detail {

/// Takes tensors out of a file by name and keeps account of which were taken.
class weight_reader {
 public:
  explicit weight_reader(const gguf_file& file) : file_(file), taken_(file.tensors().size()) {}

  matrix_view matrix(std::string_view name, std::size_t rows, std::size_t cols) {
    const gguf_tensor& t = take(name);
    file_.require_supported(t);
    require_dims(t, {cols, rows, 1, 1});
    // A supported type has the same number in files and in kernels.
    return {static_cast<weight_type>(t.type), rows, cols, t.data.data()};
  }

  std::span<const float> vector(std::string_view name, std::size_t size) {
    const gguf_tensor& t = take(name);
    error::require<error::bad_file>(t.type == ggml_type::float32, file_.name(), ": tensor '",
                                    t.name, "' has type ", layout_of(t.type)->name,
                                    "; expected F32 for a norm");
    require_dims(t, {size, 1, 1, 1});
    return {reinterpret_cast<const float*>(t.data.data()), size};
  }

  /// A tensor that belongs to the model but has no place in it would change results if it were
  /// passed over: more layers, biases, frequency factors. Others are none of the model's.
  void refuse_leftovers() const {
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      if (taken_[i]) continue;
      const std::string_view name = file_.tensors()[i].name;
      for (const std::string_view part : {"blk.", "rope_", "output", "token_"})
        error::require<error::bad_file>(!name.starts_with(part), file_.name(), ": tensor '", name,
                                        "' has no place in a Llama model of this configuration");
    }
  }

 private:
  const gguf_tensor& take(std::string_view name) {
    const gguf_tensor& t = file_.tensor(name);
    taken_[static_cast<std::size_t>(&t - file_.tensors().data())] = true;
    return t;
  }

  void require_dims(const gguf_tensor& t, std::array<std::uint64_t, 4> expected) const {
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

  const gguf_file& file_;
  std::vector<bool> taken_;
};

}  // namespace detail

/// Finds and checks every weight of the model that `config`, read from the same file, describes.
/// Throws `error::bad_file` naming the tensor that is missing, superfluous, of the wrong shape or
/// of a type that weir cannot use. Reads no weight. O(tensors).
inline llama_weights read_llama_weights(const gguf_file& file, const llama_config& config) {
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
