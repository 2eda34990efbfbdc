// The bundled model with some numbers changed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <weir/core/half.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/load_model.hpp>

#include "support/catch.hpp"

namespace weir_test {

/// The bundled model's file with each number x of tensor `name`, the i-th, replaced by change(i,
/// x).
template <class Change>
std::vector<std::byte> image_with(const std::string& name, Change change) {
  std::ifstream file(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf", std::ios::binary);
  const std::vector<char> read{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> image(read.size());
  std::memcpy(image.data(), read.data(), read.size());
  const weir::gguf_file whole(image);
  const weir::gguf_tensor& tensor = whole.tensor(name);
  const auto at = std::search(image.begin(), image.end(), tensor.data.begin(), tensor.data.end());
  REQUIRE(at != image.end());
  const auto each = [&]<class T>(T) {
    for (std::size_t i = 0; i < tensor.data.size() / sizeof(T); ++i) {
      T number;
      std::memcpy(&number, &*at + i * sizeof(T), sizeof(T));
      number = weir::round_to<T>(change(i, weir::to_float(number)));
      std::memcpy(&*at + i * sizeof(T), &number, sizeof(T));
    }
  };
  REQUIRE((tensor.type == weir::ggml_type::float32 || tensor.type == weir::ggml_type::float16));
  tensor.type == weir::ggml_type::float32 ? each(weir::f32{}) : each(weir::f16{});
  return image;
}

/// The bundled model with `number` of tensor `name` replaced by `with`.
inline std::vector<std::byte> image_with(const std::string& name, std::size_t number, float with) {
  return image_with(name, [&](std::size_t i, float x) { return i == number ? with : x; });
}
inline weir::llama_model with_number(const std::string& name, std::size_t number, float with) {
  return weir::llama_model(weir::gguf_file(image_with(name, number, with)));
}

}  // namespace weir_test
