// The numbers that shape a Llama model, read from a GGUF file and checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/model/gguf/gguf.hpp>

namespace weir::inline WEIR_TARGET {

/// The shape of a model of the Llama family. Lengths count elements.
struct llama_config {
  std::size_t context_length = 0;        ///< tokens it was trained with
  std::size_t embedding_length = 0;      ///< width of the residual stream
  std::size_t block_count = 0;           ///< layers
  std::size_t feed_forward_length = 0;   ///< width inside the gated MLP
  std::size_t head_count = 0;            ///< query heads
  std::size_t head_count_kv = 0;         ///< key and value heads; divides head_count
  std::size_t head_dim = 0;              ///< elements of a head
  std::size_t rope_dimension_count = 0;  ///< leading elements of a head that rotate; even
  double rope_freq_base = 10000.0;
  float rms_epsilon = 0;
  std::size_t vocab_size = 0;
};

namespace detail {

/// Reads the keys of one model; every failure names the key.
class llama_keys {
 public:
  explicit llama_keys(const gguf_file& file) : file_(file) {}

  template <class... Parts>
  void require(bool holds, std::string_view key, Parts&&... parts) const {
    error::require<error::bad_file>(holds, file_.name(), ": key '", key, "' ",
                                    std::forward<Parts>(parts)...);
  }

  std::size_t positive(std::string_view key) const;

  /// A number that some writers give once a layer. Layers must agree.
  std::size_t positive_per_layer(std::string_view key, std::size_t layers) const;

  /// Keys whose effect weir does not compute must not be passed over in silence.
  void refuse_unless(std::string_view key, std::uint32_t harmless) const;

  const gguf_file& file() const { return file_; }

 private:
  const gguf_file& file_;
};

void read_llama_heads(const llama_keys& keys, llama_config& c);

void read_llama_rope(const llama_keys& keys, llama_config& c);

std::size_t read_llama_vocabulary_size(const llama_keys& keys);

}  // namespace detail

/// Reads and checks the configuration of a model whose `general.architecture` is `llama`. Throws
/// `error::bad_file` naming the key for values that are missing, impossible or ask for something
/// that weir does not compute. O(keys).
llama_config read_llama_config(const gguf_file& file);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/llama_config.inl.hpp>
#endif
