// A model as users hold it: one file, read once, never changed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <weir/core/arena.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>
#include <weir/kernels/weight_panels.hpp>
#include <weir/model/gguf/gguf.hpp>
#include <weir/model/llama_config.hpp>
#include <weir/model/llama_weights.hpp>
#include <weir/model/tokenizer/tokenizer.hpp>

namespace weir::inline WEIR_TARGET {

/// A Llama model: the file, what it says, and views of its weights. Immutable; any number of
/// threads may use one. It can be moved until something refers to it.
struct llama_model {
  /// Reads and checks everything, but of the weights' values only those of keys and values, which
  /// say how large these can get. Throws `error::bad_file`.
  explicit llama_model(gguf_file source);

  llama_model(llama_model&&) noexcept = default;
  llama_model& operator=(llama_model&&) noexcept = default;

  /// Copies matrices of Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 into panels: kernels/weight_panels.hpp. A
  /// pass over more than one row becomes faster, no bit changes. Takes `repack_bytes()` of memory;
  /// the file's own pages of these matrices are not read again. Before anything refers to the
  /// model; a second call does nothing. `threads`: 0 stands for available_threads().
  /// O(repack_bytes()).
  void repack(unsigned threads = 0);
  /// Bytes that `repack` takes.
  std::size_t repack_bytes() const;

  gguf_file file;
  llama_config config;
  llama_weights weights;
  weir::tokenizer tokenizer;
  arena panels;                     ///< weights, if they were repacked
  std::vector<kv_range> kv_ranges;  ///< [layer, KV head] how large keys and values can get

 private:
  static constexpr std::size_t in_cache_lines(std::size_t bytes) {
    return round_up(bytes, cache_line);
  }
};

struct load_options {
  bool repack = false;   ///< see llama_model::repack
  unsigned threads = 0;  ///< that repack
  bool map = true;       ///< see gguf_options::map
};

/// Opens the model at `path`; of a split one, any part stands for all. Weights but those of keys
/// and values are read when they are first used, or to be repacked.
///
/// The file stays mapped as long as the model lives. Written into meanwhile, it changes the weights
/// that are not repacked, in the middle of a stream; shortened, it ends the program with SIGBUS
/// when a lost weight is read. Nothing else of it is read again. Replace model files by renaming,
/// or load with `{.map = false}`: then the whole file is read at once, into memory of the model's
/// own.
llama_model load_model(const std::string& path, const load_options& options = {});

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/model/load_model.inl.hpp>
#endif
