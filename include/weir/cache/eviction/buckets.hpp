// Buckets: what stays is spread over the whole stream. Vision sink bucketing of LiveVLM,
// arXiv 2505.15269.
//
// The candidates' order is cut into equal ranges. The best few stay wherever they lie; then the
// next best stays if its range still has room. Scores are means over a layer's heads, as in
// `buckets<observation_window>` of the last vision rows without pooling.
//
// Deviations. Of the paper's second version this is what a cache drops; its pages that a question
// picks to be read are not offered. How many go first, and how many rows vote, is not known; the
// default is none, and observation_window's. Pooling over the heads is our reading. All tokens
// count, not those of the video alone. Ranges are cut in the entries that are left, not in time. If
// ranges that are short of candidates leave the budget unspent, the best of the rest fill it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/packed_index.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// The stream from the oldest candidate to the youngest, cut into ranges.
struct bucket_rule {
  std::size_t ranges = 1;
  std::size_t capacity = 1;  ///< entries of a range
  std::size_t always = 0;    ///< that go first, whatever their range
};

/// Calls `take(entry)` for `wanted` candidates or all: the best first, then as ranges have room,
/// then the best of the rest. `order` holds the candidates' packed indices in stream order and is
/// left in another; `room` `[rule.ranges]` is to work in.
template <class Take>
void fill_buckets(const bucket_rule& rule, std::span<const float> score, std::span<float> order,
                  std::span<float> room, std::size_t wanted, Take take) {
  using detail::unpacked;
  if (order.empty()) return;
  const std::size_t first = unpacked(order.front()), length = unpacked(order.back()) - first + 1;
  std::sort(order.begin(), order.end(), detail::best_first(score));
  std::fill_n(room.begin(), rule.ranges, static_cast<float>(rule.capacity));
  std::size_t passed = 0;
  for (std::size_t k = 0; k < order.size() && wanted > 0; ++k) {
    const std::size_t i = unpacked(order[k]);
    float& left = room[((i - first + 1) * rule.ranges - 1) / length];
    if (k < rule.always || left > 0)
      --left, --wanted, take(i);
    else
      order[passed++] = order[k];
  }
  for (std::size_t k = 0; k < passed && wanted > 0; ++k, --wanted) take(unpacked(order[k]));
}

template <scoring_policy Base>
struct buckets : Base {
  std::size_t capacity = 1;
  std::size_t always = 0;
  static constexpr decision_scope scope = decision_scope::layer;

  buckets() = default;
  explicit buckets(Base base, std::size_t c = 1, std::size_t a = 0)
      : Base(std::move(base)), capacity(c), always(a) {}

  std::size_t scratch(const kv_shape& shape) const { return base_arrays(shape) + 3; }

  void choose(const head_scores& scores, selection& open) const {
    const std::size_t arrays = base_arrays(open.view().shape());
    const std::span<float> mean = open.view().scratch(arrays),
                           order = open.view().scratch(arrays + 1),
                           room = open.view().scratch(arrays + 2);
    const std::size_t n = detail::sum_candidates(scores, open, mean, order);
    const std::size_t size = std::max<std::size_t>(capacity, 1);
    const std::size_t ranges = std::clamp<std::size_t>(open.left() / size, 1, room.size());
    fill_buckets({ranges, size, always}, mean, order.first(n), room, open.left(),
                 [&](std::size_t i) { open.take(i); });
  }

 private:
  std::size_t base_arrays(const kv_shape& shape) const {
    return scratch_of(static_cast<const Base&>(*this), shape);
  }
};

}  // namespace weir::inline WEIR_TARGET
