// Layer budgets by how evenly attention is spread: layers that attend to much get more entries.
// D2O, arXiv 2406.13035.
//
// A head reports the variance of its base's scores over the entries; around `heavy_hitters` those
// are the column sums of attention that the paper takes. A layer's share is softmax(−V), V the mean
// of its heads' variances, each scaled to [0, 1] within the layer.
//
// Deviations. The paper measures once, behind the prompt; here every boundary sets the budgets of
// the next. Shares are allocated by largest remainder, so that the mean over the layers stays
// `budget`. They divide what the base selects; the paper divides what is recent with it, which
// stays the same in all layers here. The paper never compresses the first two layers and the last,
// which no bounded stream can do; with `protect` they get at least the mean. As V lies in [0, 1], a
// share is at least 1/e and at most e of the mean, so the paper's clamps are not needed. What is
// scaled within a single KV head is 0: such models keep equal budgets.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <utility>

#include <weir/cache/eviction/allocate.hpp>
#include <weir/cache/eviction/concept.hpp>
#include <weir/core/elementary.hpp>
#include <weir/core/target.hpp>
#include <weir/core/wide_sum.hpp>

namespace weir::inline WEIR_TARGET {

/// V of a layer: the mean of its heads' variances, scaled to [0, 1] among them.
inline double spread_of_variances(std::span<const float> variance) {
  const auto [low, high] = std::minmax_element(variance.begin(), variance.end());
  double sum = 0;
  for (const float v : variance) sum += (double{v} - *low) / (double{*high} - *low + 1e-6);
  return sum / static_cast<double>(variance.size());
}

template <scoring_policy Base>
struct variance_budgets : Base {
  bool protect = true;

  variance_budgets() = default;
  explicit variance_budgets(Base base, bool p = true) : Base(std::move(base)), protect(p) {}

  std::size_t scratch(const kv_shape& shape) const { return base_arrays(shape) + 1; }

  float layer_statistic(const slots_view& view) const {
    const auto score = view.scratch(base_arrays(view.shape())).first(view.size());
    if constexpr (scores_all<Base>)
      this->score_all(view, score);
    else
      for (std::size_t i = 0; i < score.size(); ++i) score[i] = this->score(view, view.at(i));
    // Entries that a base keeps whatever they are worth say nothing.
    const auto sum_of = [&](auto f) {
      return wide_sum(score.size(), [score, f](std::size_t i) {
        const double y = f(double{score[i]});
        return std::isfinite(score[i]) ? y : 0;
      });
    };
    const double n = sum_of([](double) { return 1.0; });
    const double mean = sum_of([](double x) { return x; }) / n;
    const double squares = sum_of([mean](double x) { return (x - mean) * (x - mean); });
    return n > 0 ? static_cast<float>(squares / n) : 0;
  }

  /// V lies in [0, 1]: no share is larger than e times the mean.
  std::size_t max_layer_budget(const kv_shape& shape) const {
    return max_share(std::numbers::e, this->budget, shape.layers);
  }

  void allocate_layers(const kv_shape& shape, std::span<const float> variance,
                       std::span<std::size_t> budgets) const {
    const std::size_t total = shape.layers * this->budget;
    allocate(
        total,
        [&](std::size_t l) {
          return elementary::exp(
              -spread_of_variances(variance.subspan(l * shape.kv_heads, shape.kv_heads)));
        },
        [&](std::size_t l) {
          return protect && (l < 2 || l + 1 == shape.layers) ? this->budget : 0;
        },
        [&](std::size_t) { return max_layer_budget(shape); }, budgets);
  }

 private:
  std::size_t base_arrays(const kv_shape& shape) const {
    return scratch_of(static_cast<const Base&>(*this), shape);
  }
};

}  // namespace weir::inline WEIR_TARGET
