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
// and moves once a boundary. Cosines are those of keys rounded to 15 bits (kernels/unit_keys.hpp),
// and of equal ones the kept entry in the lowest slot counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include <weir/cache/eviction/concept.hpp>
#include <weir/cache/eviction/packed_index.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

enum class merge_weight : std::uint8_t { exponential, count };

struct similarity_merge {
  float alpha = 0.5f, beta = 0.5f;
  merge_weight weight = merge_weight::exponential;
  static constexpr signals needs = signals::new_keys;

  /// 1 / norm of the key, so that a cosine is a product.
  std::size_t notes(const kv_shape&) const { return 1; }
  /// Theta, and whether there is one.
  std::size_t state(const kv_shape&) const { return 2; }
  /// Of each dropped entry its cosine and the next with the same target; of each slot the first; of
  /// each slot 1 / norm if it is kept.
  std::size_t scratch(const kv_shape&) const { return 4; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    view.note(s) = view.inverse_key_norm(s);
  }

  void on_evict(const slots_view& view, std::span<const slot> dropped,
                std::span<const slot> kept) const {
    if (dropped.empty() || kept.empty()) return;
    const std::size_t n = dropped.size();
    const std::span<float> cosine = view.scratch(0), next = view.scratch(1),
                           first = view.scratch(2), inverse = view.scratch(3);
    std::ranges::fill(inverse, std::numeric_limits<float>::quiet_NaN());
    for (const slot j : kept) inverse[j.value] = view.note(j);
    similar_key found[compared_at_once];
    double sum = 0;
    for (std::size_t i = 0; i < n; i += compared_at_once) {
      const std::size_t some = std::min(compared_at_once, n - i);
      view.most_similar(dropped.subspan(i, some), inverse, {found, some});
      for (std::size_t k = 0; k < some; ++k)
        cosine[i + k] = found[k].cosine, next[i + k] = packed(found[k].at.value);
    }
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

  void merge(const slots_view& view, slot j, std::span<const slot> dropped,
             std::span<const float> cosine, std::span<const float> next, std::uint32_t i) const {
    const bool exponential = weight == merge_weight::exponential;
    const auto share = [&](float u) {
      return exponential ? static_cast<float>(elementary::exp(double{u})) : u;
    };
    const float own = exponential ? share(1) : 1.0f;
    float total = own;
    for (std::uint32_t k = i; k != none; k = unpacked(next[k]))
      total += exponential ? share(cosine[k]) : 1.0f;
    const std::size_t d = view.shape().head_dim;
    float vectors[2 * max_head_dim];
    const std::span<float> key(vectors, d), value(vectors + d, d);
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

static_assert(evict_handler<similarity_merge> && has_on_append<similarity_merge>);

}  // namespace weir::inline WEIR_TARGET
