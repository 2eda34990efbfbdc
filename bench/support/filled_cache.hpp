// A cache that keeps everything and is long already, without having attended to all of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

#include <weir/cache/kv_cache.hpp>
#include "support/measure.hpp"
#include "support/random.hpp"

namespace weir_bench {

/// Lends a cache threads, another number of them when asked to, and leaves its attention out while
/// the cache is filled: that would take time quadratic in the length. A cache that gets whole tiles
/// of final rows stores a tile in one run and attends its rows in the next.
class cache_threads final : public weir::executor {
 public:
  void lend(weir::executor& threads) { threads_ = &threads; }

  template <class Body>
  void storing_only(Body&& body) {
    lend(threads_of(2));  // a width of 1 would bypass `run`
    storing_only_ = true;
    body();
    storing_only_ = false;
  }

  unsigned width() const override { return threads_->width(); }
  void run(weir::function_ref<void(unsigned)> part) override {
    if (!storing_only_ || runs_++ % 2 == 0) threads_->run(part);
  }

 private:
  weir::executor* threads_ = &threads_of(1);
  bool storing_only_ = false;
  std::size_t runs_ = 0;
};

template <class Codec>
class filled_cache {
 public:
  using cache_type = weir::kv_cache<Codec, weir::keep_all>;

  /// `tokens` random entries, a multiple of 32, and room for 32 more. Steps may have `drafts`
  /// provisional rows.
  filled_cache(const weir::kv_shape& shape, std::size_t tokens, std::size_t drafts = 1)
      : tokens_(tokens), cache_(shape, keep(tokens), options(&threads_, drafts)) {
    threads_.storing_only([&] { fill(); });
    require_filled();
  }

  /// A step of one row that comes behind all entries. Nobody commits it, so that the cache stays as
  /// it is.
  typename cache_type::step begin() {
    static constexpr weir::row provisional{.provisional = true};
    return cache_.begin({&provisional, 1});
  }
  /// A step of `rows` rows, as verification has it: a final one, and provisional ones in a chain
  /// behind it. `close` ends it.
  typename cache_type::step begin_chain(std::size_t rows) {
    std::vector<weir::row> chain(rows, weir::row{.provisional = true});
    chain[0].provisional = false;
    return cache_.begin(chain);
  }
  /// Ends such a step: no provisional row stays, and the final one is taken back, so that the cache
  /// stays as it is.
  void close(typename cache_type::step& step) {
    step.commit();
    cache_.take_back();
  }
  const weir::kv_shape& shape() const { return cache_.shape(); }
  /// From now on the cache works with this many threads.
  void use_threads(unsigned width) { threads_.lend(threads_of(width)); }

  /// Bytes of keys and values that such a row reads in one layer, its own among them.
  double bytes_read_per_layer() const {
    return static_cast<double>(layer_bytes(shape(), tokens_)) * static_cast<double>(tokens_ + 1) /
           static_cast<double>(keep(tokens_).capacity);
  }
  /// Bytes that each layer adds to a cache of `tokens` entries.
  static std::size_t layer_bytes(weir::kv_shape shape, std::size_t tokens) {
    const auto bytes = [&](std::size_t layers) {
      shape.layers = layers;
      return cache_type::required_bytes(shape, keep(tokens), options(nullptr, 1));
    };
    return bytes(2) - bytes(1);
  }

 private:
  static constexpr std::size_t chunk = 256;

  static weir::keep_all keep(std::size_t tokens) { return {tokens + weir::tile_lanes}; }
  static weir::cache_options options(weir::executor* threads, std::size_t drafts) {
    return {.max_rows = chunk, .max_draft_rows = drafts, .threads = threads};
  }

  void fill() {
    const weir::kv_shape& s = shape();
    const std::size_t q_row = s.q_heads * s.head_dim, kv_row = s.kv_heads * s.head_dim;
    const std::vector<weir::row> rows(chunk);
    const std::vector<float> k = normal_floats(chunk * kv_row, 1, 1);
    const std::vector<float> v = normal_floats(chunk * kv_row, 1, 2);
    const std::vector<float> q(chunk * q_row);
    std::vector<float> out(chunk * q_row);
    for (std::size_t done = 0; done < tokens_;) {
      const std::size_t n = std::min(chunk, tokens_ - done);
      auto step = cache_.begin(std::span(rows).first(n));
      for (std::size_t layer = 0; layer < s.layers; ++layer)
        step.attend(layer, std::span(q).first(n * q_row), std::span(k).first(n * kv_row),
                    std::span(v).first(n * kv_row), std::span(out).first(n * q_row));
      step.commit();
      done += n;
    }
  }

  /// Had `storing_only` left out the wrong runs, it would show in the last layer.
  void require_filled() const {
    std::size_t stored = 0;
    cache_.for_each_entry(shape().layers - 1, shape().kv_heads - 1, [&](const auto& entry) {
      const auto is_set = [](float x) { return x != 0; };
      stored += std::ranges::any_of(entry.key, is_set) && std::ranges::any_of(entry.value, is_set);
    });
    if (stored != tokens_) throw std::logic_error("filled_cache: entries are missing");
  }

  std::size_t tokens_;
  cache_threads threads_;
  cache_type cache_;
};

}  // namespace weir_bench
