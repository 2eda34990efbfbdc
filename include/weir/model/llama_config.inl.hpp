// Bodies of model/llama_config.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <weir/core/target.hpp>
#include <weir/kernels/rope.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/gguf/quoted.hpp>
#include <weir/model/llama_config.hpp>

namespace weir::inline WEIR_TARGET {

namespace detail {

WEIR_INLINE std::size_t llama_keys::positive(std::string_view key) const {
  const std::uint32_t value = file_.get_u32(key);
  require(value > 0, key, "is 0; expected at least 1");
  return value;
}

WEIR_INLINE std::size_t llama_keys::positive_per_layer(std::string_view key,
                                                       std::size_t layers) const {
  const gguf_value* const value = file_.find(key);
  if (value == nullptr || !value->is_array()) return positive(key);
  const gguf_numbers<std::int32_t> numbers = file_.get_ints(key);
  require(numbers.size() == layers, key, "has ", numbers.size(),
          " elements; expected one for each of ", layers, " layers");
  require(numbers[0] > 0, key, "starts with ", numbers[0], "; expected at least 1");
  for (std::size_t i = 1; i < numbers.size(); ++i)
    require(numbers[i] == numbers[0], key, "is ", numbers[i], " for layer ", i, " and ", numbers[0],
            " for layer 0; expected equal layers");
  return static_cast<std::size_t>(numbers[0]);
}

WEIR_INLINE void llama_keys::refuse_unless(std::string_view key, std::uint32_t harmless) const {
  if (file_.contains(key))
    require(file_.get_u32(key) == harmless, key, "is ", file_.get_u32(key),
            ", which weir cannot compute; expected ", harmless);
}

WEIR_INLINE void read_llama_heads(const llama_keys& keys, llama_config& c) {
  const gguf_file& file = keys.file();
  c.head_count = keys.positive_per_layer("llama.attention.head_count", c.block_count);
  c.head_count_kv = file.contains("llama.attention.head_count_kv")
                        ? keys.positive_per_layer("llama.attention.head_count_kv", c.block_count)
                        : c.head_count;
  keys.require(c.head_count % c.head_count_kv == 0, "llama.attention.head_count_kv", "is ",
               c.head_count_kv, "; expected a divisor of the ", c.head_count, " query heads");

  constexpr std::string_view key_length = "llama.attention.key_length";
  constexpr std::string_view value_length = "llama.attention.value_length";
  if (file.contains(key_length) || file.contains(value_length)) {
    c.head_dim = keys.positive(file.contains(key_length) ? key_length : value_length);
    if (file.contains(value_length))
      keys.require(keys.positive(value_length) == c.head_dim, value_length, "is ",
                   file.get_u32(value_length), "; expected ", c.head_dim, " as the key length");
  } else {
    keys.require(c.embedding_length % c.head_count == 0, "llama.embedding_length", "is ",
                 c.embedding_length, "; expected a multiple of the ", c.head_count, " query heads");
    c.head_dim = c.embedding_length / c.head_count;
  }
}

WEIR_INLINE void read_llama_rope(const llama_keys& keys, llama_config& c) {
  const gguf_file& file = keys.file();
  constexpr std::string_view dimensions = "llama.rope.dimension_count";
  c.rope_dimension_count = file.contains(dimensions) ? keys.positive(dimensions) : c.head_dim;
  keys.require(c.rope_dimension_count % 2 == 0 && c.rope_dimension_count <= c.head_dim, dimensions,
               "gives ", c.rope_dimension_count,
               " rotating elements; expected an even number, at most ", c.head_dim,
               ", the length of a head");

  constexpr std::string_view base = "llama.rope.freq_base";
  const float freq_base = file.get_f32(base, 10000.0f);
  keys.require(std::isfinite(freq_base) && freq_base >= least_rope_base, base, "is ", freq_base,
               "; expected a positive finite number, at least 2^-52");
  c.rope_freq_base = freq_base;

  // With none, or a factor of 1, the other keys of scaling ask for nothing.
  constexpr std::string_view scaling = "llama.rope.scaling.";
  const bool none = file.get_string("llama.rope.scaling.type", "") == "none";
  for (std::size_t i = 0; i < file.key_count(); ++i) {
    const std::string_view key = file.key(i);
    if (!key.starts_with(scaling)) continue;
    const std::string_view what = key.substr(scaling.size());
    bool harmless = none;
    if (what == "type")
      harmless = none || file.get_string(key) == "linear";
    else if (what == "factor" || what == "attn_factor")
      harmless = none || file.get_f32(key) == 1.0f;
    else if (what == "finetuned" || what == "original_context_length")
      harmless = true;  // of a scaling that is refused by its factor
    keys.require(harmless, key, "asks for scaled rotary positions, which weir cannot compute");
  }
  if (file.contains("llama.rope.scale_linear"))
    keys.require(file.get_f32("llama.rope.scale_linear") == 1.0f, "llama.rope.scale_linear",
                 "asks for scaled rotary positions, which weir cannot compute");
}

WEIR_INLINE std::size_t read_llama_vocabulary_size(const llama_keys& keys) {
  const gguf_file& file = keys.file();
  constexpr std::string_view size = "llama.vocab_size";
  constexpr std::string_view tokens = "tokenizer.ggml.tokens";
  const std::size_t named = file.contains(tokens) ? file.get_strings(tokens).size() : 0;
  if (!file.contains(size)) {
    keys.require(named > 0, file.contains(tokens) ? tokens : size,
                 "is missing or empty; expected the vocabulary's size");
    return named;
  }
  const std::size_t stated = keys.positive(size);
  if (file.contains(tokens))
    keys.require(stated == named, size, "is ", stated, "; expected ", named,
                 ", the length of 'tokenizer.ggml.tokens'");
  return stated;
}

}  // namespace detail

WEIR_INLINE llama_config read_llama_config(const gguf_file& file) {
  const detail::llama_keys keys(file);
  const std::string_view architecture = file.get_string("general.architecture");
  keys.require(architecture == "llama", "general.architecture", "is ", quoted{architecture},
               "; expected 'llama'");

  llama_config c;
  c.context_length = keys.positive("llama.context_length");
  c.embedding_length = keys.positive("llama.embedding_length");
  c.block_count = keys.positive("llama.block_count");
  // Whatever is sized by the number of layers is bounded by what the file holds.
  constexpr std::size_t tensors_per_layer = 9;
  keys.require(c.block_count <= file.tensors().size() / tensors_per_layer, "llama.block_count",
               "is ", c.block_count, "; the file's ", file.tensors().size(),
               " tensors are enough for ", file.tensors().size() / tensors_per_layer, " layers");
  c.feed_forward_length = keys.positive_per_layer("llama.feed_forward_length", c.block_count);
  detail::read_llama_heads(keys, c);
  detail::read_llama_rope(keys, c);

  constexpr std::string_view epsilon = "llama.attention.layer_norm_rms_epsilon";
  c.rms_epsilon = file.get_f32(epsilon);
  keys.require(std::isfinite(c.rms_epsilon) && c.rms_epsilon > 0, epsilon, "is ", c.rms_epsilon,
               "; expected a positive finite number");
  c.vocab_size = detail::read_llama_vocabulary_size(keys);

  keys.refuse_unless("llama.expert_count", 0);
  keys.refuse_unless("llama.attention.sliding_window", 0);
  if (file.contains("llama.attention.causal"))
    keys.require(file.get_bool("llama.attention.causal"), "llama.attention.causal",
                 "is false, which weir cannot compute");
  return c;
}

}  // namespace weir::inline WEIR_TARGET
