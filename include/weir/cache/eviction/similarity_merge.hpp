// Similarity merge: a dropped entry becomes part of the kept entry whose key is most like its own,
// if it is like enough. D2O, arXiv 2406.13035.
//
// Like enough is a cosine of at least theta, which follows the mean cosine of what was dropped:
// theta ← alpha · theta + beta · mean, from the first mean on. A kept entry keeps its index; under
// original positions keys rotated by different angles are mixed, as in the paper.
//
// Deviations. Merge weights are the paper's as far as we know them: exponentials of the cosines, 1
// for the kept entry's own. The authors' code divides by a count instead, which shortens what is
// kept; merge_weight::count is that. Its theta is one a layer, means taken over the heads'
// discarded tokens rank by rank, which may be different tokens; here theta is each KV head's own,
// and moves once a boundary.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/packed_index.hpp>
#include <weir/cache/eviction/winning_scores.hpp>
#include <weir/kernels/visits.hpp>

namespace weir {

enum class merge_weight : std::uint8_t { exponential, count };

struct similarity_merge {
  float alpha = 0.5f, beta = 0.5f;
  merge_weight weight = merge_weight::exponential;
  static constexpr told needs = told::new_keys;

  static constexpr std::size_t at_once = 8;  ///< keys compared in one pass over the cache

  /// 1 / norm of the key, so that a cosine is a product.
  std::size_t notes(const kv_shape&) const { return 1; }
  /// Theta, whether there is one, and vectors to work in.
  std::size_t state(const kv_shape& shape) const { return 2 + at_once * shape.head_dim; }
  /// Dot products; of each dropped entry its cosine and the next with the same target; of each slot
  /// the first; of each slot 1 / norm if it is kept.
  std::size_t scratch(const kv_shape&) const { return at_once + 4; }

  void describe(const slots_view& view, slot s, const arrival&) const {
    view.note(s) = view.inverse_key_norm(s);
  }

  void meet(const slots_view& view, std::span<const slot> dropped,
            std::span<const slot> kept) const {
    if (dropped.empty() || kept.empty()) return;
    const std::size_t n = dropped.size();
    const std::span<float> cosine = view.scratch(at_once), next = view.scratch(at_once + 1),
                           first = view.scratch(at_once + 2);
    const std::span<float> inverse = view.scratch(at_once + 3);
    std::ranges::fill(inverse, std::numeric_limits<float>::quiet_NaN());  // never the largest
    for (const slot j : kept) inverse[j.value] = view.note(j);
    double sum = 0;
    for (std::size_t i = 0; i < n; i += at_once)
      compare(view, dropped.subspan(i, std::min(at_once, n - i)), inverse.data(), &cosine[i],
              &next[i]);
    for (std::size_t i = 0; i < n; ++i) sum += cosine[i];
    const float mean = static_cast<float>(sum / static_cast<double>(n));
    float &theta = view.state()[0], &known = view.state()[1];
    theta = known != 0 ? alpha * theta + beta * mean : mean;
    known = 1;
    // Chains of what goes to the same target; `next` held the target until now.
    for (const slot j : kept) first[j.value] = packed(none);
    for (std::size_t i = n; i-- > 0;) {
      if (!(cosine[i] >= theta)) continue;
      float& head = first[unpacked(next[i])];
      next[i] = head;
      head = packed(i);
    }
    for (const slot j : kept)
      if (unpacked(first[j.value]) != none)
        merge(view, j, dropped, cosine, next, unpacked(first[j.value]));
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF >> 1;
  static float packed(std::size_t i) { return detail::packed(i); }
  static std::uint32_t unpacked(float x) { return detail::unpacked(x); }

  /// The rank of the largest product in a tile.
  static std::uint32_t largest_product(const float* a, const float* b) {
    std::uint32_t most = 0;
    for (std::size_t i = 0; i < tile_lanes; ++i) {
      const std::uint32_t rank = score_rank(a[i] * b[i]);
      most = most < rank ? rank : most;  // GCC does not see a maximum in std::max here
    }
    return most;
  }

  /// The largest cosine of each of `some` with a kept key, and the oldest entry that has it.
  /// `inverse` `[slot]`: 1 / norm of kept keys, NaN elsewhere.
  static void compare(const slots_view& view, std::span<const slot> some, const float* inverse,
                      float* cosine, float* target) {
    const auto is_kept = [&](slot j) { return inverse[j.value] == inverse[j.value]; };
    const std::size_t d = view.shape().head_dim, slots = view.slots();
    const std::span<float> keys = view.state().subspan(2, some.size() * d);
    for (std::size_t g = 0; g < some.size(); ++g)
      std::copy_n(view.key(some[g]).begin(), d, &keys[g * d]);
    const std::span<float> dots = view.scratch_from(0).first(some.size() * slots);
    view.dots(keys, dots);
    for (std::size_t g = 0; g < some.size(); ++g) {
      const float* const dot = &dots[g * slots];
      std::uint32_t largest = 0, from = 0, to = 0;  // the tiles that have it
      for (std::uint32_t s = 0; s < slots; s += tile_lanes) {
        const std::uint32_t most = largest_product(dot + s, inverse + s);
        if (most > largest) largest = most, from = s;
        if (most == largest) to = s + tile_lanes;
      }
      slot best{};
      std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
      for (slot j{from}; j.value < to; ++j.value)
        if (score_rank(dot[j.value] * inverse[j.value]) == largest && is_kept(j))
          if (view.index(j).value < oldest) best = j, oldest = view.index(j).value;
      cosine[g] = dot[best.value] * inverse[best.value] * view.note(some[g]);
      target[g] = packed(best.value);
    }
  }

  void merge(const slots_view& view, slot j, std::span<const slot> dropped,
             std::span<const float> cosine, std::span<const float> next, std::uint32_t i) const {
    const bool exponential = weight == merge_weight::exponential;
    const auto share = [&](float u) { return exponential ? std::exp(u) : u; };
    const float own = exponential ? std::exp(1.0f) : 1.0f;
    float total = own;
    for (std::uint32_t k = i; k != none; k = unpacked(next[k]))
      total += exponential ? share(cosine[k]) : 1.0f;
    const std::size_t d = view.shape().head_dim;
    const std::span<float> key = view.state().subspan(2, d), value = view.state().subspan(2 + d, d);
    const auto add = [&](slot s, float w) {
      const auto k = view.key(s), v = view.value(s);
      for (std::size_t x = 0; x < d; ++x) key[x] += w * k[x], value[x] += w * v[x];
    };
    std::fill(key.begin(), key.end(), 0.0f);
    std::fill(value.begin(), value.end(), 0.0f);
    add(j, own / total);
    for (std::uint32_t k = i; k != none; k = unpacked(next[k]))
      add(dropped[k], share(cosine[k]) / total);
    view.rewrite(j, key, value);
    view.note(j) = view.inverse_key_norm(j);
  }
};

static_assert(eviction_fate<similarity_merge> && describing<similarity_merge>);

}  // namespace weir
