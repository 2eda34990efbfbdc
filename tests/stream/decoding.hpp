// What tests of decoders share: the bundled model, a prompt, and ways to take tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <weir/cache/eviction/keep.hpp>
#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/model/load_model.hpp>
#include <weir/stream/text_decoder.hpp>

namespace weir_test {

inline const weir::llama_model& bundled() {
  static const weir::llama_model model =
      weir::load_model(WEIR_SOURCE_DIR "/examples/models/weir-tiny-f16.gguf");
  return model;
}

inline const weir::keep<weir::sinks, weir::window> small{weir::sinks{4}, weir::window{60}};
inline const std::string prompt = "It was a dark night, and the wind";

/// The ids that a decoder generates behind a prompt.
template <class Decoder>
std::vector<weir::token_id> ids(Decoder& decoder, std::string_view text, std::size_t tokens) {
  std::vector<weir::token_id> out;
  decoder.generate(text,
                   [&](const weir::token_event& e) {
                     out.push_back(e.id);
                     return true;
                   },
                   {.max_tokens = tokens});
  return out;
}

/// A callback that takes tokens until there are `n` of them.
inline auto taking(std::vector<weir::token_id>& got, std::size_t n) {
  return [&got, n](const weir::token_event& e) {
    got.push_back(e.id);
    return got.size() < n;
  };
}

}  // namespace weir_test
