// A Llama model of random weights with all that engines want to know of one, so that others can be
// measured on the same file.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <weir/model/load_model.hpp>
#include "support/gguf_builder.hpp"  // of the tests
#include "support/random.hpp"
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
  switch (type) {
    case weir::weight_type::f32:
      return 0;
    case weir::weight_type::f16:
      return 1;
    case weir::weight_type::q4_0:
      return 2;
    case weir::weight_type::q4_1:
      return 3;
    case weir::weight_type::q8_0:
      return 7;
    case weir::weight_type::q5_0:
      return 8;
    case weir::weight_type::q5_1:
      return 9;
    case weir::weight_type::q4_k:
      return 14;
    case weir::weight_type::q5_k:
      return 16;
    case weir::weight_type::q6_k:
      return 18;
    case weir::weight_type::bf16:
      return 32;
  }
  return 0;
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

/// Writes a file tensor by tensor: first all names, then all data.
class tensor_writer {
 public:
  tensor_writer(weir_test::gguf_builder header, weir::weight_type type)
      : header_(std::move(header)), type_(type) {}

  void add_matrix(const std::string& name, std::size_t rows, std::size_t cols) {
    add({name + ".weight", type_, rows, cols});
  }
  void add_norm(const std::string& name, std::size_t size) {
    add({name + ".weight", weir::weight_type::f32, 1, size});
  }

  void write(const std::filesystem::path& path) const {
    std::ofstream out;
    out.exceptions(std::ios::failbit | std::ios::badbit);
    out.open(path, std::ios::binary);
    put(out, header_.build());
    std::map<std::size_t, weight_pool> pools;  // by columns
    for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
      const tensor& t = tensors_[i];
      if (t.rows == 1) {
        std::vector<float> near_one = normal_floats(t.cols, 0.1f, i);
        for (float& x : near_one) x += 1;
        put(out, std::as_bytes(std::span(near_one)));
      } else {
        const weight_pool& pool = pools.try_emplace(t.cols, t.type, t.cols).first->second;
        for (std::size_t r = 0; r < t.rows; ++r) put(out, pool.row(i, r));
      }
      put(out, std::vector<std::byte>(padded(t.bytes()) - t.bytes()));
    }
  }

 private:
  struct tensor {
    std::string name;
    weir::weight_type type;
    std::size_t rows, cols;
    std::size_t bytes() const { return rows * weir::row_bytes(type, cols); }
  };

  static std::size_t padded(std::size_t bytes) { return (bytes + 31) / 32 * 32; }
  static void put(std::ofstream& out, std::span<const std::byte> bytes) {
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

  void add(tensor t) {
    std::vector<std::uint64_t> dims = {t.cols};
    if (t.rows > 1) dims.push_back(t.rows);
    header_.add_tensor(t.name, static_cast<weir::ggml_type>(t.type), dims, {});
    header_.tensors.back().offset = offset_;
    offset_ += padded(t.bytes());
    tensors_.push_back(std::move(t));
  }

  weir_test::gguf_builder header_;  // its tensors have no data
  weir::weight_type type_;
  std::vector<tensor> tensors_;
  std::uint64_t offset_ = 0;
};

}  // namespace detail

/// Writes a whole model; its file appears only when it is complete. Matrices are of type `type`,
/// norms F32. Lengths are multiples of 256. Throws std::ios::failure.
inline void write_synthetic_model(const std::filesystem::path& path, weir::weight_type type,
                                  const synthetic_shape& shape = {}) {
  detail::tensor_writer file(detail::synthetic_keys(type, shape), type);
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

  std::filesystem::path unfinished = path;
  unfinished += ".part";
  file.write(unfinished);
  std::filesystem::rename(unfinished, path);
}

/// The model of default shape, from $WEIR_BENCH_DIR or the system's folder for temporary files.
/// Written there if it is missing.
inline weir::llama_model synthetic_model(weir::weight_type type) {
  const char* const dir = std::getenv("WEIR_BENCH_DIR");
  const std::filesystem::path path =
      (dir != nullptr ? std::filesystem::path(dir) : std::filesystem::temp_directory_path()) /
      ("weir-synthetic-1.1b-" + name_of(type) + ".gguf");
  if (!std::filesystem::exists(path)) write_synthetic_model(path, type);
  return weir::load_model(path);
}

}  // namespace weir_bench
