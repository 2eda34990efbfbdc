// Bodies of speculation/best_mask_plan.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <weir/core/error.hpp>
#include <weir/core/target.hpp>
#include <weir/speculation/best_mask_plan.hpp>
#include <weir/speculation/mask_plan.hpp>
#include <weir/speculation/tree_shape.hpp>

namespace weir::inline WEIR_TARGET {

WEIR_INLINE std::vector<std::size_t> mask_counts(std::span<const double> stop,
                                                 std::span<const double> gain, std::size_t rows) {
  const std::size_t most = gain.size() - 1;
  std::vector<std::size_t> masks(stop.size(), most);
  for (std::size_t all = stop.size() * (1 + most); all > rows; --all) {
    std::size_t least = stop.size();
    double lost = 0;
    for (std::size_t i = 0; i < stop.size(); ++i) {
      if (masks[i] <= (i == 0 ? 0 : 1)) continue;
      const double loss = stop[i] * (gain[masks[i]] - gain[masks[i] - 1]);
      if (least == stop.size() || loss <= lost) {
        least = i;
        lost = loss;
      }
    }
    error::require<error::bad_config>(least < stop.size(), "mask_counts: ", all, " rows, of ",
                                      stop.size(), " nodes (expected at most ", rows, ")");
    --masks[least];
  }
  return masks;
}

WEIR_INLINE mask_plan best_mask_plan(std::span<const std::vector<double>> accepted,
                                     std::size_t rows) {
  using error::bad_config, error::require;
  const std::size_t m = accepted.size();
  require<bad_config>(m > 0, "best_mask_plan: no acceptance given (expected a list for each mask)");
  require<bad_config>(rows >= 2, "best_mask_plan: ", rows, " rows (expected at least 2)");
  struct candidate {
    tree_shape shape;
    std::vector<double> stop;
    double gain;
  };
  std::vector<std::vector<candidate>> trees(m + 1);  // [state, drafts]
  trees[0].push_back({{}, {1}, 0});
  for (std::size_t s = 1; s <= m; ++s)
    for (std::size_t n = 0; 1 + 2 * n <= rows; ++n) {
      tree_shape shape = best_tree(accepted.first(s), n);
      if (shape.nodes.size() < n) break;
      auto stop = stop_chances(shape, accepted);
      const double gain = expected_accepted(shape, accepted);
      trees[s].push_back({std::move(shape), std::move(stop), gain});
    }

  std::vector<std::size_t> n(m + 1), best_n, start(1, std::min(m, rows - 1));
  std::vector<double> gain(m + 1);
  std::vector<std::vector<double>> next(m + 1);
  next[0] = next_states(trees[0][0].stop, start, m + 1);
  double best = 0;
  for (std::size_t s = 0; s <= m;) {  // n as the digits of a number
    for (std::size_t i = 1; i <= m; ++i) gain[i] = trees[i][n[i]].gain;
    for (std::size_t i = 1; i <= m; ++i) {
      const candidate& c = trees[i][n[i]];
      next[i] = next_states(c.stop, mask_counts(c.stop, gain, rows), m + 1);
    }
    const double tokens = tokens_a_round(next, gain);
    if (tokens > best * (1 + 1e-12)) {  // not for a rounding: fewer drafts come first
      best = tokens;
      best_n = n;
    }
    for (s = 1; s <= m && ++n[s] == trees[s].size(); ++s) n[s] = 0;
  }

  mask_plan plan;
  plan.trees.push_back({{}, start});
  for (std::size_t s = 1; s <= m; ++s) gain[s] = trees[s][best_n[s]].gain;
  for (std::size_t s = 1; s <= m; ++s) {
    const candidate& c = trees[s][best_n[s]];
    plan.trees.push_back({c.shape, mask_counts(c.stop, gain, rows)});
  }
  return plan;
}

WEIR_INLINE mask_plan best_mask_plan_for(std::span<const std::vector<double>> accepted,
                                         std::size_t most,
                                         const std::function<double(std::size_t)>& cost) {
  mask_plan best;
  double rate = 1 / cost(1);
  for (std::size_t rows = 2; rows <= most; ++rows) {
    mask_plan plan = best_mask_plan(accepted, rows);
    const double tokens = tokens_a_round(plan, accepted) / cost(rows);
    if (tokens > rate) {
      rate = tokens;
      best = std::move(plan);
    }
  }
  return best;
}

}  // namespace weir::inline WEIR_TARGET
