// The plan of masks that gives most tokens a round within so many rows: the offline construction of
// PPD, Chen et al., arXiv 2405.18628.
//
//   const auto plan = weir::best_mask_plan_for(accepted, 32, [&](std::size_t rows) {
//     return times(rows);                              // seconds of a pass: see pass_times.hpp
//   });
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include <weir/core/target.hpp>
#include <weir/speculation/mask_plan.hpp>

namespace weir::inline WEIR_TARGET {

/// How many masks lie behind the root and each node (`[1 + node]`, as `stop`) if all these rows are
/// to be `rows` at most: as many as there are states, less those that bring least. PPD, step 3: one
/// by one the mask goes whose node's chance of being the last, times what the state is worth more
/// than the one below it (`gain[state]`: drafts accepted there), is smallest. A draft keeps one
/// mask at least. The root may lose all; the round after one that accepts nothing then starts from
/// state 0. O(masks · nodes).
std::vector<std::size_t> mask_counts(std::span<const double> stop, std::span<const double> gain,
                                     std::size_t rows);

/// The plan of at most `rows` rows a pass, the root's among them, that gives most tokens a round,
/// where the choice of rank k at depth d + 1 is accepted with probability `accepted[d][k]`, given
/// that its parent was: probabilities falling with k, for each of the masks a list. PPD: state s
/// has the best tree of n_s drafts no deeper than s, and all (n_1 … n_m) are tried. Throws
/// error::bad_config for no list, or fewer than 2 rows. O((rows / 2)^m · m · rows²): a tenth
/// of a second for three masks and 64 rows; to be called once, before there is a stream.
mask_plan best_mask_plan(std::span<const std::vector<double>> accepted, std::size_t rows);

/// The best plan of at most `most` rows for a machine on which a pass over n rows costs `cost(n)`:
/// the one that gives most tokens for the time (PPD, hardware-aware size). Empty if that is
/// decoding without drafts.
mask_plan best_mask_plan_for(std::span<const std::vector<double>> accepted, std::size_t most,
                             const std::function<double(std::size_t)>& cost);

}  // namespace weir::inline WEIR_TARGET

#if !WEIR_DECLARED_ONLY
#include <weir/speculation/best_mask_plan.inl.hpp>
#endif
