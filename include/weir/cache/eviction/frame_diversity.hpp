// Frame diversity: the entries whose keys are least like the mean key. InfiniteVGGT,
// arXiv 2601.02281; a boundary is a frame of its tokens.
//
// The first frame anchors the scene and never goes: a `sinks` ahead of this policy selects it, and
// `anchor` says how many tokens that are, for they do not count among the candidates either. Layers
// whose keys are alike get smaller budgets, by softmax((1 − mean similarity) / temperature).
//
// Deviations. Layer budgets are allocated by largest remainder, where the authors round down, and
// concern the candidates alone, so that no layer can end up with less than its anchor. The authors
// prune before the newest frame is attended to; here boundaries lie behind it. Renumbered within
// the cache, keys are compared unrotated.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include <weir/cache/eviction/allocate.hpp>
#include <weir/cache/eviction/concept.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/error.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

struct frame_diversity {
  std::size_t budget = 0;  ///< mean over the layers
  std::size_t anchor = 0;  ///< tokens of the first frame
  float temperature = 0.5f;
  static constexpr signals needs = signals::new_keys;

  void validate(const kv_shape&) const {
    error::require<error::bad_config>(temperature > 0 && std::isfinite(temperature),
                                      "frame_diversity.temperature: ", temperature,
                                      " (expected finite and positive)");
  }
  /// 1 / norm of the key.
  std::size_t notes(const kv_shape&) const { return 1; }
  /// The candidates' mean similarity, 0 until there is one, and the mean direction.
  std::size_t state(const kv_shape& shape) const { return 1 + shape.head_dim; }
  std::size_t scratch(const kv_shape&) const { return 1; }

  void on_append(const slots_view& view, slot s, const token_info&) const {
    view.note(s) = view.inverse_key_norm(s);
  }

  void score_all(const slots_view& view, std::span<float> score) const {
    const std::span<float> work = view.scratch(), mean = view.state().subspan(1);
    std::size_t first = 0;
    while (first < view.size() && is_anchor(view, view.at(first))) ++first;
    std::fill_n(score.begin(), first, 0.0f);
    if (first == view.size()) return;
    const float each = 1 / static_cast<float>(view.size() - first);
    std::fill(work.begin(), work.end(), 0.0f);
    for (std::size_t i = first; i < view.size(); ++i)
      work[view.at(i).value] = each * view.note(view.at(i));
    view.weighted_keys(work, mean);
    view.dots(mean, work);
    double sum = 0;
    for (std::size_t i = first; i < view.size(); ++i) {
      const slot s = view.at(i);
      score[i] = -work[s.value] * view.note(s);
      sum -= score[i];
    }
    // A key that is no number makes the mean none; layers' budgets need one.
    const auto similarity = static_cast<float>(sum * each);
    view.state()[0] = std::isfinite(similarity) ? similarity : 0;
  }

  float layer_statistic(const slots_view& view) const { return view.state()[0]; }

  /// The mean similarity to a mean of directions lies in [0, 1].
  std::size_t max_layer_budget(const kv_shape& shape) const {
    return max_share(elementary::exp(1 / double{temperature}), budget, shape.layers);
  }

  void allocate_layers(const kv_shape& shape, std::span<const float> similarity,
                       std::span<std::size_t> budgets) const {
    allocate(
        shape.layers * budget,
        [&](std::size_t layer) {
          double sum = 0;
          for (std::size_t h = 0; h < shape.kv_heads; ++h)
            sum += similarity[layer * shape.kv_heads + h];
          return elementary::exp((1 - sum / static_cast<double>(shape.kv_heads)) / temperature);
        },
        [](std::size_t) { return std::size_t{0}; },
        [&](std::size_t) { return max_layer_budget(shape); }, budgets);
  }

 private:
  bool is_anchor(const slots_view& view, slot s) const {
    return view.index(s).value - view.first_index().value < anchor;
  }
};

static_assert(eviction_policy<frame_diversity> && allocates_layers<frame_diversity>);

}  // namespace weir::inline WEIR_TARGET
