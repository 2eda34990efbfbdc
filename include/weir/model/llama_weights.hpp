// The weights of a Llama model, seen in place in a GGUF file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/matrix_view.hpp>
#include <weir/model/gguf/gguf.hpp>
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

  matrix_view matrix(std::string_view name, std::size_t rows, std::size_t cols);

  std::span<const float> vector(std::string_view name, std::size_t size);

  /// A tensor that belongs to the model but has no place in it would change results if it were
  /// passed over: more layers, biases, frequency factors. Others are none of the model's.
  void refuse_leftovers() const;

 private:
  const gguf_tensor& take(std::string_view name);

  void require_dims(const gguf_tensor& t, std::array<std::uint64_t, 4> expected) const;

  const gguf_file& file_;
  std::vector<bool> taken_;
};

}  // namespace detail

/// Finds and checks every weight of the model that `config`, read from the same file, describes.
/// Throws `error::bad_file` naming the tensor that is missing, superfluous, of the wrong shape or
/// of a type that weir cannot use. Reads no weight. O(tensors).
llama_weights read_llama_weights(const gguf_file& file, const llama_config& config);

/// How large the elements of keys and values can get, `[layer, KV head]`, whatever the tokens: what
/// a norm leaves of a row is no longer than √embedding_length, so that no element exceeds
/// √embedding_length · ‖weight row · norm weights‖ (Cauchy and Schwarz). 0 where weights are not
/// finite. Reads those weights: O(layers · KV heads · head_dim · embedding_length).
std::vector<kv_range> read_kv_ranges(const llama_weights& weights, const llama_config& config);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/llama_weights.inl.hpp>
#endif
