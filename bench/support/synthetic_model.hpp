// A Llama model of random weights with all that engines want to know of one, so that others can be
// measured on the same file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <weir/model/load_model.hpp>
#include "support/gguf_builder.hpp"  // of the tests
#include "support/tensor_writer.hpp"
#include "support/weights.hpp"

namespace weir_bench {

/// By default that of TinyLlama 1.1B, with a longer context.
struct synthetic_shape {
  std::uint32_t width = 2048;
  std::uint32_t layers = 22;
  std::uint32_t heads = 32;
  std::uint32_t kv_heads = 4;
  std::uint32_t inner = 5632;
  std::uint32_t words = 32000;
  std::uint32_t context = 32768;

  struct matrix {
    const char* name;
    std::size_t rows, cols;
  };
  /// Of one layer, in the order of use.
  std::vector<matrix> layer_matrices() const {
    const std::size_t kv_width = width / heads * kv_heads;
    return {{"attn_q", width, width},      {"attn_k", kv_width, width}, {"attn_v", kv_width, width},
            {"attn_output", width, width}, {"ffn_gate", inner, width},  {"ffn_up", inner, width},
            {"ffn_down", width, inner}};
  }
};

namespace detail {

/// `general.file_type`: what llama.cpp calls a file most of whose weights are of this type.
inline std::uint32_t file_type(weir::weight_type type) {
  using enum weir::weight_type;
  constexpr std::pair<weir::weight_type, std::uint32_t> types[] = {
      {f32, 0},  {f16, 1},   {q4_0, 2},  {q4_1, 3},  {q8_0, 7},  {q5_0, 8},
      {q5_1, 9}, {q4_k, 14}, {q5_k, 16}, {q6_k, 18}, {bf16, 32},
  };
  return std::ranges::find(types, type, &std::pair<weir::weight_type, std::uint32_t>::first)
      ->second;
}

inline weir_test::gguf_builder synthetic_keys(weir::weight_type type, const synthetic_shape& s) {
  weir_test::gguf_builder file;
  file.set("general.architecture", "llama");
  file.set("general.name", "weir synthetic");
  file.set("general.file_type", file_type(type));
  file.set("general.quantization_version", std::uint32_t{2});
  file.set("general.alignment", std::uint32_t{32});
  file.set("llama.context_length", s.context);
  file.set("llama.embedding_length", s.width);
  file.set("llama.block_count", s.layers);
  file.set("llama.feed_forward_length", s.inner);
  file.set("llama.attention.head_count", s.heads);
  file.set("llama.attention.head_count_kv", s.kv_heads);
  file.set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  file.set("llama.rope.dimension_count", s.width / s.heads);
  file.set("llama.rope.freq_base", 10000.0f);
  file.set("llama.vocab_size", s.words);
  weir_test::tiny_vocabulary::of_size(s.words).write_to(file);
  file.set("tokenizer.ggml.add_bos_token", true);
  file.set("tokenizer.ggml.add_eos_token", false);
  return file;
}

}  // namespace detail

/// Writes a whole model with matrices of type `type`. Widths are multiples of 256. Throws
/// std::runtime_error.
inline void write_synthetic_model(const std::filesystem::path& path, weir::weight_type type,
                                  const synthetic_shape& shape = {}) {
  tensor_writer file(detail::synthetic_keys(type, shape), type);
  file.add_matrix("token_embd", shape.words, shape.width);
  for (std::uint32_t i = 0; i < shape.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + '.';
    file.add_norm(block + "attn_norm", shape.width);
    for (const auto& [name, rows, cols] : shape.layer_matrices())
      file.add_matrix(block + name, rows, cols);
    file.add_norm(block + "ffn_norm", shape.width);
  }
  file.add_norm("output_norm", shape.width);
  file.add_matrix("output", shape.words, shape.width);
  file.write(path);
}

/// The model of default shape, its weights repacked where they can be, from $WEIR_BENCH_DIR or the
/// system's folder for temporary files. Written there if it is missing.
inline weir::llama_model synthetic_model(weir::weight_type type) {
  const char* const dir = std::getenv("WEIR_BENCH_DIR");
  const std::filesystem::path path =
      (dir != nullptr ? std::filesystem::path(dir) : std::filesystem::temp_directory_path()) /
      ("weir-synthetic-1.1b-" + name_of(type) + ".gguf");
  if (!std::filesystem::exists(path)) write_synthetic_model(path, type);
  return weir::load_model(path, {.repack = true});
}

/// Bytes of weights that one row takes: all but the embeddings of other tokens.
inline double weight_bytes(const weir::llama_weights& w) {
  std::size_t bytes =
      w.output.bytes() + weir::row_bytes(w.token_embedding.type, w.token_embedding.cols);
  bytes += w.output_norm.size_bytes();
  for (const weir::llama_layer_weights& l : w.layers) {
    bytes += l.attn_norm.size_bytes() + l.ffn_norm.size_bytes();
    for (const weir::matrix_view& m : {l.q, l.k, l.v, l.o, l.gate, l.up, l.down})
      bytes += m.bytes();
  }
  return static_cast<double>(bytes);
}

}  // namespace weir_bench
