// Observation window: the entries that the last rows attended to, and their neighbours.
// SnapKV, arXiv 2404.14469, section 4.
//
// The last `rows` rows vote for the entries before them; votes are pooled over neighbours in the
// stream, so that what is kept is phrases, not loose tokens. A `window` of as many tokens ahead of
// this policy keeps the rows' own tokens; should it be smaller, they come first here.
//
// Deviations. The paper compresses once, behind the prompt; here that happens again at every
// boundary, so that memory is bounded for good. An interval's rows all vote if it is shorter than
// the window. Neighbours are those left in the cache. The authors pool each query head by itself,
// having as many of them as KV heads; here their mean is pooled, which for averages is the same.
// Votes beyond either end count as 0, as in the authors' code.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include <weir/cache/eviction/concept.hpp>
#include <weir/core/target.hpp>

namespace weir::inline WEIR_TARGET {

enum class vote_pooling : std::uint8_t { average, max };

struct observation_window {
  std::size_t budget = 0;
  std::size_t rows = 32;
  std::size_t pool_radius = 2;  ///< neighbours on each side: a kernel of 2 pool_radius + 1
  vote_pooling pooling = vote_pooling::average;
  static constexpr signals needs = signals::attention_probabilities;

  std::size_t last_rows() const { return rows; }
  std::size_t notes(const kv_shape&) const { return 1; }
  std::size_t state(const kv_shape&) const { return 1; }
  std::size_t scratch(const kv_shape&) const { return 1; }

  void observe(const observed_row& row) const {
    // Rows count down to the boundary. Where they do not, an interval begins, and so do the votes.
    float& left_before = row.state()[0];
    const auto left = static_cast<float>(row.rows_left());
    const float keep = left < left_before ? 1.0f : 0.0f;
    left_before = left;
    const float* const probability = row.probabilities().data();
    float* const votes = row.notes().data();
    const std::size_t n = row.slots();
    for (std::size_t s = 0; s < n; ++s) votes[s] = keep * votes[s] + probability[s];
  }

  void score_all(const slots_view& view, std::span<float> score) const {
    std::size_t n = view.size();
    while (n > 0 && view.age(view.at(n - 1)) <= rows)
      score[--n] = std::numeric_limits<float>::infinity();
    const std::span<float> votes = view.scratch().first(n);
    for (std::size_t i = 0; i < n; ++i) votes[i] = view.note(view.at(i));
    for (std::size_t i = 0; i < n; ++i) {
      float pooled = 0;
      for (std::size_t j = i - std::min(i, pool_radius); j < std::min(n, i + pool_radius + 1); ++j)
        pooled = pooling == vote_pooling::max ? std::max(pooled, votes[j]) : pooled + votes[j];
      score[i] =
          pooling == vote_pooling::max ? pooled : pooled / static_cast<float>(2 * pool_radius + 1);
    }
  }
};

static_assert(eviction_policy<observation_window> && observing<observation_window>);

}  // namespace weir::inline WEIR_TARGET
