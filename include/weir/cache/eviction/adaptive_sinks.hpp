// Adaptive sinks: the first chunks of a video, each of which gives way to the newest chunk once the
// scene no longer looks like it. From the authors' code of StreamDiffusionV2 (MLSys 2026, as far as
// we know).
//
// A sink chunk's likeness is the mean of two cosines, of mean keys and of mean values, with the
// newest chunk. If the least falls below the threshold, that sink is replaced. `rolling_chunks`
// behind this policy selects the recent ones, and those of a chunk that is still coming.
//
// Deviations. The authors flatten all heads of a layer into one vector; here each KV head judges
// for itself. Each chunk is judged once, at the first boundary behind its end; they take a chunk
// for a boundary. Original positions are those of their code; any others are not verified.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct adaptive_sinks {
  std::size_t chunk = 1;   ///< tokens
  std::size_t chunks = 3;  ///< that are sinks
  float threshold = 0.2f;  ///< −1: sinks stay for good
  std::size_t budget = chunk * chunks;

  void validate(const kv_shape&) const {
    error::require<error::bad_config>(chunk > 0, "adaptive_sinks.chunk: 0 (expected at least 1)");
  }
  /// Number of the sink that the entry is part of, from 1; 0: none.
  std::size_t notes(const kv_shape&) const { return 1; }
  /// Sums of keys and of values, of each sink and of the newest chunk.
  std::size_t state(const kv_shape& shape) const { return (chunks + 1) * 2 * shape.head_dim; }

  void select(selection& open) const {
    const slots_view& view = open.view();
    const std::uint64_t length = view.boundary().value - view.first_index().value;
    if (chunks > 0)
      for (std::uint64_t c = (length - view.cadence()) / chunk; c < length / chunk; ++c)
        consider(view, c);
    for (std::size_t i = 0; i < open.size(); ++i)
      if (view.note(view.at(i)) != 0) open.take(i);
  }

 private:
  /// Chunk number `number` has come to its end.
  void consider(const slots_view& view, std::uint64_t number) const {
    const std::size_t width = 2 * view.shape().head_dim;
    const std::span<float> newest = sums(view, chunks);
    std::fill(newest.begin(), newest.end(), 0.0f);
    for_each_in(view, number, [&](slot s) {
      const auto key = view.key(s), value = view.value(s);
      for (std::size_t x = 0; x < width / 2; ++x)
        newest[x] += key[x], newest[width / 2 + x] += value[x];
    });
    std::size_t sink = static_cast<std::size_t>(std::min<std::uint64_t>(number, chunks));
    if (sink == chunks) {
      float least = threshold;
      for (std::size_t j = 0; j < chunks; ++j)
        if (const float like = likeness(sums(view, j), newest); like < least)
          sink = j, least = like;
      if (sink == chunks) return;
    }
    const std::span<float> replaced = sums(view, sink);
    std::copy(newest.begin(), newest.end(), replaced.begin());
    const auto name = static_cast<float>(sink + 1);
    for (std::size_t i = 0; i < view.size(); ++i)
      if (view.note(view.at(i)) == name) view.note(view.at(i)) = 0;
    for_each_in(view, number, [&](slot s) { view.note(s) = name; });
  }

  template <class Use>
  void for_each_in(const slots_view& view, std::uint64_t number, Use use) const {
    const std::uint64_t begin = view.first_index().value + number * chunk, end = begin + chunk;
    for (std::size_t i = view.size(); i-- > 0;) {
      const std::uint64_t index = view.index(view.at(i)).value;
      if (index < begin) return;
      if (index < end) use(view.at(i));
    }
  }
  static std::span<float> sums(const slots_view& view, std::size_t which) {
    const std::size_t width = 2 * view.shape().head_dim;
    return view.state().subspan(which * width, width);
  }
  static float likeness(std::span<const float> a, std::span<const float> b) {
    const std::size_t d = a.size() / 2;
    return (cosine(a.first(d), b.first(d)) + cosine(a.last(d), b.last(d))) / 2;
  }
  static float cosine(std::span<const float> a, std::span<const float> b) {
    const double aa = dot(a, a), bb = dot(b, b);
    return aa > 0 && bb > 0 ? static_cast<float>(dot(a, b) / std::sqrt(aa * bb)) : 0;
  }
};

static_assert(eviction_policy<adaptive_sinks>);

}  // namespace weir::inline WEIR_TARGET
