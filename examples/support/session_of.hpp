// Sessions over cache types. One translation unit per codec compiles them, once for all tools.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <weir/weir.hpp>

#include "session.hpp"

namespace tool {

template <class Cache>
class generator_of final : public generator {
 public:
  generator_of(const weir::llama_model& model, weir::keep_of<Cache> keep,
               weir::decoder_options options)
      : decoder_(model, std::move(keep), std::move(options)) {}

  weir::finish_reason generate(std::string_view prompt, shown show,
                               weir::generate_options options) override {
    return decoder_.generate(prompt, show, std::move(options));
  }
  std::uint64_t length() const override { return decoder_.length(); }
  std::size_t cache_bytes() const override { return decoder_.cache().bytes(); }

 private:
  weir::stream_decoder<Cache> decoder_;
};

template <class Cache>
class scorer_of final : public scorer {
 public:
  scorer_of(const weir::llama_model& model, weir::keep_of<Cache> keep,
            const weir::stream_options& options)
      : stream_(model, std::move(keep), options),
        vocabulary_(model.config.vocab_size),
        logits_(group * vocabulary_) {}

  void score(std::span<const weir::token_id> tokens, scored show) override {
    if (tokens.empty()) return;
    stream_.feed(tokens.first(tokens.size() - 1), [&](std::size_t first, std::size_t rows) {
      for (std::size_t done = 0; done < rows; done += group) {
        const std::size_t n = std::min(group, rows - done);
        stream_.row_logits(done, n, logits_.data());
        for (std::size_t i = 0; i < n; ++i)
          show(weir::log_probability(std::span(logits_).subspan(i * vocabulary_, vocabulary_),
                                     tokens[first + done + i + 1]));
      }
    });
  }
  std::uint64_t length() const override { return stream_.length(); }
  std::size_t cache_bytes() const override { return stream_.cache().bytes(); }

 private:
  static constexpr std::size_t group = 32;  // rows whose logits are held at once
  weir::token_stream<Cache> stream_;
  std::size_t vocabulary_;
  std::vector<float> logits_;  // [group, vocabulary]
};

/// The session for a choice of policies and this codec.
template <template <class> class SessionOf, class Codec, class... Options>
auto make_session(const cache_choice& c, const weir::llama_model& model, Options&&... options) {
  using namespace weir;
  using base =
      std::conditional_t<std::is_base_of_v<generator, SessionOf<kv_cache<Codec, keep_all>>>,
                         generator, scorer>;
  const auto make = [&]<class Keep, class Positions>(Keep keep,
                                                     Positions) -> std::unique_ptr<base> {
    return std::make_unique<SessionOf<kv_cache<Codec, Keep, Positions>>>(
        model, std::move(keep), std::forward<Options>(options)...);
  };
  const auto place = [&](auto keep) {
    return c.positions == "original" ? make(std::move(keep), positions::original{})
                                     : make(std::move(keep), positions::within_cache{});
  };
  if (c.policy == "full") return make(keep_all{c.rows}, positions::original{});
  if (c.policy == "window") return place(keep<window>{window{c.window}});
  return place(keep<sinks, window>{sinks{c.sinks}, window{c.window}});
}

template <class Codec>
std::unique_ptr<generator> make_generator(const weir::llama_model& model, const cache_choice& c,
                                          weir::decoder_options options) {
  return make_session<generator_of, Codec>(c, model, std::move(options));
}
template <class Codec>
std::unique_ptr<scorer> make_scorer(const weir::llama_model& model, const cache_choice& c,
                                    const weir::stream_options& options) {
  return make_session<scorer_of, Codec>(c, model, options);
}

}  // namespace tool
