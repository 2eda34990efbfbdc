#include "session.hpp"

#include <string>
#include <utility>

#include <weir/cache/codec/concept.hpp>
#include <weir/core/error.hpp>

namespace tool {

// Compiled in session_f32.cpp and its siblings.
template <class Codec>
std::unique_ptr<generator> make_generator(const weir::llama_model&, const cache_choice&,
                                          weir::decoder_options);
template <class Codec>
std::unique_ptr<scorer> make_scorer(const weir::llama_model&, const cache_choice&,
                                    const weir::stream_options&);

namespace {

/// `call` with the type that a codec's name stands for.
template <class Call>
auto with_codec(const std::string& name, Call call) {
  if (name == "f32") return call.template operator()<weir::f32>();
  if (name == "bf16") return call.template operator()<weir::bf16>();
  if (name == "int8") return call.template operator()<weir::int8>();
  if (name == "int4") return call.template operator()<weir::int4>();
  return call.template operator()<weir::f16>();
}

}  // namespace

std::size_t require_context(const cache_choice& choice, std::uint64_t rows,
                            const weir::llama_model& model) {
  const std::size_t most = model.config.context_length;
  weir::error::require<weir::error::bad_input>(
      choice.policy != "full" || rows <= most,
      "--policy full: ", rows == no_end ? "endlessly many" : std::to_string(rows),
      " tokens to feed (expected at most ", most, ", the model's context)");
  return static_cast<std::size_t>(rows);
}

std::unique_ptr<generator> make_generator(const weir::llama_model& model, const cache_choice& c,
                                          weir::decoder_options options) {
  return with_codec(
      c.codec, [&]<class Codec> { return make_generator<Codec>(model, c, std::move(options)); });
}

std::unique_ptr<scorer> make_scorer(const weir::llama_model& model, const cache_choice& c,
                                    const weir::stream_options& options) {
  return with_codec(c.codec, [&]<class Codec> { return make_scorer<Codec>(model, c, options); });
}

}  // namespace tool
