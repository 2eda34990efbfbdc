// A model in the making, cut into parts as tools cut them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "support/gguf_builder.hpp"
#include "support/temporary_folder.hpp"

namespace weir_test {

/// A split model in the making: the first part has all keys, every part its share of the tensors.
struct split_model {
  std::vector<gguf_builder> parts;

  split_model(const gguf_builder& whole, std::uint16_t count) : parts(count) {
    parts[0] = whole;
    parts[0].tensors.clear();
    for (std::size_t i = 0; i < whole.tensors.size(); ++i)
      parts[i * count / whole.tensors.size()].tensors.push_back(whole.tensors[i]);
    for (std::uint16_t i = 0; i < count; ++i) {
      parts[i].set_raw("split.no", 2, byte_writer().put<std::uint16_t>(i));
      parts[i].set_raw("split.count", 2, byte_writer().put<std::uint16_t>(count));
      parts[i].set("split.tensors.count", static_cast<std::int32_t>(whole.tensors.size()));
    }
  }

  /// The name of part `i`, counted from 0.
  std::string name(std::size_t i) const {
    char text[64];
    std::snprintf(text, sizeof text, "m-%05u-of-%05u.gguf", static_cast<unsigned>(i + 1),
                  static_cast<unsigned>(parts.size()));
    return text;
  }

  /// Writes all parts and returns their paths.
  std::vector<std::string> write(const temporary_folder& folder) const {
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < parts.size(); ++i)
      paths.push_back(folder.write(name(i), parts[i].build()));
    return paths;
  }
};

}  // namespace weir_test
