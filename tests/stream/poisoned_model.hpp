// The bundled model with one number changed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <weir/core/half.hpp>
#include <weir/model/gguf.hpp>
#include <weir/model/load_model.hpp>

#include "support/catch.hpp"

namespace weir_test {

/// The bundled model with `number` of tensor `name` replaced by `with`.
inline weir::llama_model with_number(const std::string& name, std::size_t number, float with) {
  std::ifstream file(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf", std::ios::binary);
  const std::vector<char> read{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> image(read.size());
  std::memcpy(image.data(), read.data(), read.size());
  const weir::gguf_file whole(image);
  const weir::gguf_tensor& tensor = whole.tensor(name);
  const auto at = std::search(image.begin(), image.end(), tensor.data.begin(), tensor.data.end());
  REQUIRE(at != image.end());
  if (tensor.type == weir::ggml_type::float32) {
    std::memcpy(&*at + number * sizeof with, &with, sizeof with);
  } else {
    REQUIRE(tensor.type == weir::ggml_type::float16);
    const weir::f16 half = weir::round_to<weir::f16>(with);
    std::memcpy(&*at + number * sizeof half, &half, sizeof half);
  }
  return weir::llama_model(weir::gguf_file(image));
}

}  // namespace weir_test
