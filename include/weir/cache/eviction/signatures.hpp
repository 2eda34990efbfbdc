// Signatures: some of what a base would drop stays as representatives of the rest. KVCrush,
// arXiv 2503.00022.
//
// An entry's signature has a bit a head: whether that head alone would keep it at the given budget.
// The base keeps its best by mean score over the heads; the rest is put in order of its signatures'
// Hamming distance to an anchor, and representatives are taken at even steps. Linear in entries but
// for that sort; nobody is compared with anybody. Works around any scoring policy.
//
// Deviations. `budget` includes the representatives, so that memory is what was asked for; the
// authors' code, which forms signatures of blocks of tokens instead (block_signatures.hpp), adds
// them to it. The best split is not known; there are no representatives unless asked for. Bits are
// KV heads'. As all heads keep as many, `mean` has equal bits in all places: they say whether more
// than half of the candidates stay.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/packed_index.hpp>
#include <weir/cache/eviction/winning_scores.hpp>
#include <weir/core/philox.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// What signatures are compared with.
enum class signature_anchor : std::uint8_t { random, zeros, ones, mean, alternating };

/// The anchor's bit in place `place`; `majority` is the mean's.
constexpr bool anchor_bit(signature_anchor anchor, std::size_t place, bool majority,
                          std::uint64_t seed = 0) {
  switch (anchor) {
    case signature_anchor::zeros:
      return false;
    case signature_anchor::ones:
      return true;
    case signature_anchor::mean:
      return majority;
    case signature_anchor::alternating:
      return place % 2 == 1;
    case signature_anchor::random:
      break;
  }
  return random_source{seed}.bits(purpose::scoring, place) % 2 == 1;
}

/// Puts entries in order of `distance[entry]`, the older first among equals, and calls `use(entry)`
/// at even steps, for `wanted` of them or all. `order` holds packed indices.
template <class Use>
void for_each_representative(std::span<float> order, std::span<const float> distance,
                             std::size_t wanted, Use use) {
  std::sort(order.begin(), order.end(), [&](float a, float b) {
    const std::uint32_t i = detail::unpacked(a), j = detail::unpacked(b);
    return distance[i] != distance[j] ? distance[i] < distance[j] : i < j;
  });
  const std::size_t count = std::min(wanted, order.size());
  for (std::size_t r = 0; r < count; ++r) use(detail::unpacked(order[r * (order.size() / count)]));
}

template <scoring_policy Base>
struct signatures : Base {
  std::size_t representatives = 0;  ///< of the budget
  signature_anchor anchor = signature_anchor::random;
  std::uint64_t seed = 0;
  static constexpr decision_scope scope = decision_scope::layer;

  signatures() = default;
  signatures(Base base, std::size_t r, signature_anchor a = signature_anchor::random,
             std::uint64_t s = 0)
      : Base(std::move(base)), representatives(r), anchor(a), seed(s) {}

  std::size_t scratch(const kv_shape& shape) const { return base_arrays(shape) + 2; }

  void choose(const head_scores& scores, selection& open) const {
    const std::size_t arrays = base_arrays(open.view().shape()), total = open.left();
    const std::span<float> mean = open.view().scratch(arrays);
    const std::span<float> all = open.view().scratch(arrays + 1);
    const std::size_t n = detail::sum_candidates(scores, open, mean, all);
    const std::size_t best = std::min(n, total - std::min(total, representatives));
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(best);
    std::nth_element(all.begin(), middle, all.begin() + static_cast<std::ptrdiff_t>(n),
                     detail::best_first(mean));
    const std::span<float> distance = mean;  // no longer needed
    measure(scores, total, 2 * std::min(total, n) > n, distance);
    for (const float i : all.first(best)) open.take(detail::unpacked(i));
    for_each_representative(all.subspan(best, n - best), distance, open.left(),
                            [&](std::size_t i) { open.take(i); });
  }

 private:
  std::size_t base_arrays(const kv_shape& shape) const {
    return scratch_of(static_cast<const Base&>(*this), shape);
  }
  void measure(const head_scores& scores, std::size_t total, bool majority,
               std::span<float> distance) const {
    std::fill(distance.begin(), distance.end(), 0.0f);
    for (std::size_t h = 0; h < scores.heads(); ++h) {
      winning_scores wins(scores, h, h + 1, total);
      const bool bit = anchor_bit(anchor, h, majority, seed);
      for_each_candidate(scores, h, [&](std::size_t i, std::uint32_t rank) {
        distance[i] += wins.admit(rank) != bit ? 1.0f : 0.0f;
      });
    }
  }
};

}  // namespace weir::inline WEIR_TARGET
