// Sessions over chosen caches.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include <weir/core/error.hpp>
#include <weir/sampling/log_probability.hpp>
#include <weir/stream/chosen_cache.hpp>

#include "session.hpp"

namespace tool {

/// What a session tells of its cache. `stream_` has it.
template <class Base, class Stream>
class session_over : public Base {
 public:
  template <class... Settings>
  explicit session_over(Settings&&... settings) : stream_(std::forward<Settings>(settings)...) {}
  std::uint64_t length() const override { return stream_.length(); }
  std::size_t cache_bytes() const override { return stream_.cache().bytes(); }
  std::size_t max_entries() const override { return stream_.cache().told().max_entries(); }
  std::uint64_t evicted_entries() const override {
    return stream_.cache().told().stats().evicted_entries;
  }
  std::uint64_t cut_numbers() const override { return stream_.cache().told().stats().cut; }
  std::vector<std::uint64_t> live(std::size_t layer, std::size_t head) const override {
    std::vector<std::uint64_t> all;
    stream_.cache().told().for_each_index(layer, head,
                                          [&](weir::stream_index i) { all.push_back(i.value); });
    return all;
  }

 protected:
  Stream stream_;
};

template <class Cache, class Speculation = weir::no_speculation>
class generator_of final
    : public session_over<generator, weir::stream_decoder<Cache, Speculation>> {
 public:
  generator_of(const weir::llama_model& model, weir::cache_maker maker,
               weir::decoder_options options, const Speculation& speculation = {})
      : session_over<generator, weir::stream_decoder<Cache, Speculation>>(
            model, std::move(maker), std::move(options), speculation) {}

  weir::finish_reason generate(std::span<const weir::token_id> prompt, generator::shown show,
                               weir::generate_options options) override {
    return this->stream_.generate(prompt, show, std::move(options));
  }
  std::string_view held_text() override { return this->stream_.held_text(); }
  void reset() override { this->stream_.reset(); }
  const weir::speculation_counters& counters() const override { return this->stream_.counters(); }
};

template <class Cache>
class scorer_of final : public session_over<scorer, weir::token_stream<Cache>> {
 public:
  scorer_of(const weir::llama_model& model, weir::cache_maker maker,
            const weir::stream_options& options)
      : session_over<scorer, weir::token_stream<Cache>>(model, std::move(maker), options),
        vocabulary_(model.config.vocab_size),
        logits_(group * vocabulary_) {}

  void score(std::span<const weir::token_id> tokens, scorer::scored show) override {
    if (tokens.empty()) return;
    auto& stream = this->stream_;
    stream.feed(tokens.first(tokens.size() - 1), [&](std::size_t first, std::size_t rows) {
      for (std::size_t done = 0; done < rows; done += group) {
        const std::size_t n = std::min(group, rows - done);
        stream.row_logits(done, n, logits_.data());
        for (std::size_t i = 0; i < n; ++i) {
          const double log_probability =
              weir::log_probability(std::span(logits_).subspan(i * vocabulary_, vocabulary_),
                                    tokens[first + done + i + 1]);
          if (std::isnan(log_probability))
            weir::error::raise<weir::error::not_finite>(
                "the model's numbers are not finite: first in ", stream.first_not_finite(done + i),
                ", for token ", first + done + i,
                " of the stream (expected finite weights, and sums that f32 can hold)");
          show(log_probability);
        }
      }
    });
  }

 private:
  static constexpr std::size_t group = 32;  // rows whose logits are held at once
  std::size_t vocabulary_;
  std::vector<float> logits_;  // [group, vocabulary]
};

}  // namespace tool
