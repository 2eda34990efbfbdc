// Pyramid budgets: more entries for early layers, fewer for late ones, whose attention is narrow.
// PyramidKV, arXiv 2406.02069.
//
// Budgets fall in a straight line from the first layer to the last, which gets 1/beta of the mean.
// `pyramid<observation_window>` is the paper's method; `budget` stays the mean over the layers. The
// paper's window of recent tokens is a policy of its own, the same in every layer.
//
// Deviations. The authors' code rounds the step down, which gives all layers together up to
// layers² / 2 entries too many; here the later half mirrors the earlier, so that the mean is exact.
// It caps the line at the prompt's length, and leaves short prompts flat; a stream has no length,
// and entries that are not there are not missed.
#pragma once

#include <algorithm>
#include <utility>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

/// Budget of one of `layers` layers whose mean is `mean`.
constexpr std::size_t pyramid_budget(std::size_t mean, std::size_t beta, std::size_t layers,
                                     std::size_t layer) {
  const std::size_t mirrored = layers - 1 - layer;
  if (layer == mirrored) return mean;
  if (layer > mirrored) return 2 * mean - pyramid_budget(mean, beta, layers, mirrored);
  const std::size_t least = mean / std::max<std::size_t>(beta, 1), most = 2 * mean - least;
  return most - layer * (most - least) / (layers - 1);
}

template <class Base>
  requires(eviction_policy<Base> && !positional_policy<Base>)
struct pyramid : Base {
  std::size_t beta = 20;

  pyramid() = default;
  explicit pyramid(Base base, std::size_t b = 20) : Base(std::move(base)), beta(b) {}

  std::size_t budget_for(const kv_shape& shape, std::size_t layer, std::size_t) const {
    return pyramid_budget(this->budget, beta, shape.layers, layer);
  }
};

}  // namespace weir::inline WEIR_TARGET
