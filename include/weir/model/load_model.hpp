// A model as users hold it: one file, read once, never changed.
#pragma once

#include <filesystem>
#include <utility>

#include <weir/model/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/tokenizer.hpp>

namespace weir {

/// A Llama model: the file, what it says, and views of its weights. Immutable; any number of
/// threads may use one. It can be moved until something refers to it.
struct llama_model {
  /// Reads and checks everything but the weights' values. Throws `error::bad_file`.
  explicit llama_model(gguf_file source)
      : file(std::move(source)),
        config(read_llama_config(file)),
        weights(read_llama_weights(file, config)),
        tokenizer(file) {}

  llama_model(llama_model&&) noexcept = default;
  llama_model& operator=(llama_model&&) noexcept = default;

  gguf_file file;
  llama_config config;
  llama_weights weights;
  weir::tokenizer tokenizer;
};

/// Maps the model file at `path`. Weights are read when they are first used.
inline llama_model load_model(const std::filesystem::path& path) {
  return llama_model(gguf_file(path));
}

}  // namespace weir
