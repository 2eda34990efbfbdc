// GGUF files larger than memory: first all names, then the data of tensor after tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/gguf_builder.hpp"  // of the tests
#include "support/random.hpp"
#include "support/weights.hpp"

namespace weir_bench {

/// Collects the tensors of a model and writes them with random weights.
class tensor_writer {
 public:
  /// Matrices are of type `type`, norms F32. `header` has the keys, and no tensors.
  tensor_writer(weir_test::gguf_builder header, weir::weight_type type)
      : header_(std::move(header)), type_(type) {}

  void add_matrix(const std::string& name, std::size_t rows, std::size_t cols) {
    add({name + ".weight", type_, rows, cols}, {cols, rows});
  }
  void add_norm(const std::string& name, std::size_t size) {
    add({name + ".weight", weir::weight_type::f32, 1, size}, {size});
  }

  /// The file appears only when it is complete. Throws std::runtime_error.
  void write(const std::filesystem::path& path) const {
    std::filesystem::path unfinished = path;
    unfinished += ".part";
    write_to(unfinished);
    std::filesystem::rename(unfinished, path);
  }

 private:
  struct tensor {
    std::string name;
    weir::weight_type type;
    std::size_t rows, cols;
    std::size_t bytes() const { return rows * weir::row_bytes(type, cols); }
    std::size_t padding() const { return (alignment - bytes() % alignment) % alignment; }
  };
  static constexpr std::size_t alignment = 32;

  void add(const tensor& t, std::vector<std::uint64_t> dims) {
    header_.add_tensor(t.name, static_cast<weir::ggml_type>(t.type), std::move(dims), {});
    header_.tensors.back().offset = offset_;
    offset_ += t.bytes() + t.padding();
    tensors_.push_back(t);
  }

  void write_to(const std::filesystem::path& path) const {
    std::ofstream out(path, std::ios::binary);
    const auto put = [&](std::span<const std::byte> bytes) {
      out.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    };
    put(header_.build());
    std::map<std::size_t, weight_pool> pools;  // by columns
    for (std::uint32_t i = 0; i < tensors_.size(); ++i) {
      const tensor& t = tensors_[i];
      if (t.rows == 1) {
        std::vector<float> near_one = normal_floats(t.cols, 0.1f, i);
        for (float& x : near_one) x += 1;
        put(std::as_bytes(std::span(near_one)));
      } else {
        const weight_pool& pool = pools.try_emplace(t.cols, t.type, t.cols).first->second;
        for (std::size_t r = 0; r < t.rows; ++r) put(pool.row(i, r));
      }
      put(std::vector<std::byte>(t.padding()));
    }
    out.close();
    if (!out) throw std::runtime_error(path.string() + ": cannot be written");
  }

  weir_test::gguf_builder header_;  // its tensors have no data
  weir::weight_type type_;
  std::vector<tensor> tensors_;
  std::uint64_t offset_ = 0;
};

}  // namespace weir_bench
